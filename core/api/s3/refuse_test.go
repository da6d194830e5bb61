package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"granary/core/auth"
	"granary/core/block"
	"granary/core/bucket"
	"granary/core/object"
	"granary/core/quorum"
	"granary/core/rpc"
)

// TestBadInput holds a table of requests that must be refused with a clear code, and that lose nothing.
func TestBadInput(t *testing.T) {
	long := strings.Repeat("k", 1025)
	upload := "uploadId=" + object.UploadID{15: 1}.String()
	doc := func(parts string) string {
		return "<CompleteMultipartUpload>" + parts +
			"</CompleteMultipartUpload>"
	}
	part := func(n, etag string) string {
		return "<Part><PartNumber>" + n + "</PartNumber><ETag>" + etag + "</ETag></Part>"
	}
	put := func(target string, headers ...string) ask {
		return ask{method: "PUT", target: target, body: "data", headers: headers}
	}
	tests := []struct {
		name   string
		status int
		code   string
		ask    ask
	}{
		{"key too long", 400, "KeyTooLongError", put("/bucket/" + long)},
		{"key not UTF-8", 400, "InvalidURI", put("/bucket/a%ff")},
		{"bad escape in path", 400, "InvalidURI", ask{method: "PUT", target: "/bucket/a%2", key: "-"}},
		{"bad escape in query", 400, "InvalidURI", ask{method: "PUT", target: "/bucket/a?x=%zz", key: "-"}},
		{"too many parameters", 400, "InvalidURI",
			ask{method: "GET", target: "/bucket?" + strings.Repeat("a&", 300)}},
		{"bucket name with capitals", 400, "InvalidBucketName", ask{method: "PUT", target: "/Bucket"}},
		{"bucket name too short", 400, "InvalidBucketName", ask{method: "PUT", target: "/ab"}},
		{"bucket name like an address", 400, "InvalidBucketName", ask{method: "PUT", target: "/1.2.3.4"}},
		{"bucket name with an escape", 400, "InvalidBucketName", ask{method: "PUT", target: "/a%2Fb/key"}},
		{"no bucket", 400, "InvalidBucketName", put("//key")},

		{"metadata too large", 400, "MetadataTooLarge",
			put("/bucket/a", "X-Amz-Meta-A: "+strings.Repeat("x", 2048))},
		{"kept headers too large", 400, "RequestHeaderSectionTooLarge",
			put("/bucket/a", "Cache-Control: "+strings.Repeat("x", 5000))},
		{"headers too large", 400, "RequestHeaderSectionTooLarge",
			put("/bucket/a", "Other: "+strings.Repeat("x", 33000))},

		{"unknown amz header", 501, "NotImplemented", put("/bucket/a", "X-Amz-New-Thing: 1")},
		{"condition on put", 501, "NotImplemented", put("/bucket/a", "If-Match: *")},
		{"condition on delete", 501, "NotImplemented",
			ask{method: "DELETE", target: "/bucket/a", headers: []string{"If-Match: x"}}},
		{"condition on complete", 501, "NotImplemented",
			ask{method: "POST", target: "/bucket/a?" + upload, headers: []string{"If-None-Match: *"}}},
		{"encryption", 501, "NotImplemented", put("/bucket/a",
			"X-Amz-Server-Side-Encryption-Customer-Key: x")},
		{"object lock", 501, "NotImplemented", put("/bucket/a", "X-Amz-Object-Lock-Mode: GOVERNANCE")},
		{"tags", 501, "NotImplemented", put("/bucket/a", "X-Amz-Tagging: a=b")},
		{"public acl", 501, "NotImplemented", put("/bucket/a", "X-Amz-Acl: public-read")},
		{"grant", 501, "NotImplemented", put("/bucket/a", "X-Amz-Grant-Read: id=1")},
		{"storage class", 400, "InvalidStorageClass", put("/bucket/a", "X-Amz-Storage-Class: GLACIER")},
		{"session token", 400, "InvalidToken", put("/bucket/a", "X-Amz-Security-Token: x")},
		{"version of a get", 501, "NotImplemented", ask{method: "GET", target: "/bucket/a?versionId=null"}},
		{"version of a delete", 501, "NotImplemented",
			ask{method: "DELETE", target: "/bucket/a?versionId=1"}},
		{"unknown parameter of a delete", 400, "InvalidArgument",
			ask{method: "DELETE", target: "/bucket/a?force"}},
		{"acl of a delete", 405, "MethodNotAllowed", ask{method: "DELETE", target: "/bucket/a?acl"}},
		{"tags of a head", 405, "", ask{method: "HEAD", target: "/bucket/a?tagging"}},
		{"delete of tags", 501, "NotImplemented", ask{method: "DELETE", target: "/bucket/a?tagging"}},
		{"consistency unknown", 400, "InvalidArgument",
			ask{method: "GET", target: "/bucket/a", headers: []string{"X-Granary-Consistency: strong"}}},
		{"two operations", 400, "InvalidArgument", ask{method: "GET", target: "/bucket?location&uploads"}},
		{"operation and acl", 501, "NotImplemented",
			ask{method: "PUT", target: "/bucket/a?" + upload + "&partNumber=1&acl"}},
		{"form", 501, "NotImplemented", ask{method: "POST", target: "/bucket"}},
		{"post on a key", 405, "MethodNotAllowed", ask{method: "POST", target: "/bucket/a"}},
		{"preflight that is none", 400, "BadRequest",
			ask{method: "OPTIONS", target: "/bucket/a", key: "-"}},
		{"preflight without rules", 403, "AccessForbidden", preflight("/bucket/a?uploads")},
		{"preflight of no bucket", 403, "AccessForbidden", preflight("/nowhere/a")},
		{"preflight of all buckets", 403, "AccessForbidden", preflight("/")},
		{"no rules to get", 404, "NoSuchCORSConfiguration", ask{method: "GET", target: "/bucket?cors"}},
		{"rules cut off", 400, "MalformedXML", putRules("<CORSRule>")},
		{"no rules", 400, "InvalidRequest", putRules("")},
		{"rule of two wildcards", 400, "InvalidRequest",
			putRules(corsXML("https://*.*", "GET", ""))},
		{"rule with a method beyond S3's", 400, "InvalidRequest", putRules(corsXML("*", "PATCH", ""))},
		{"rule with a word for a time", 400, "InvalidRequest",
			putRules(corsXML("*", "GET", "<MaxAgeSeconds>soon</MaxAgeSeconds>"))},
		{"rule with a strange element", 501, "NotImplemented", putRules(corsXML("*", "GET", "<Allow/>"))},
		{"101 rules", 400, "InvalidRequest", putRules(strings.Repeat(corsXML("*", "GET", ""), 101))},
		{"rules too large", 400, "MaxMessageLengthExceeded",
			putRules(strings.Repeat(" ", corsMax))},
		{"rules of an object", 405, "MethodNotAllowed", ask{method: "PUT", target: "/bucket/a?cors"}},
		{"parameter twice", 400, "InvalidArgument", ask{method: "GET", target: "/bucket?prefix=a&prefix=b"}},

		{"part 0", 400, "InvalidArgument", put("/bucket/a?partNumber=0&" + upload)},
		{"part 10001", 400, "InvalidArgument", put("/bucket/a?partNumber=10001&" + upload)},
		{"part word", 400, "InvalidArgument", put("/bucket/a?partNumber=one&" + upload)},
		{"part absent", 400, "InvalidArgument", put("/bucket/a?" + upload)},
		{"part without upload", 400, "InvalidArgument", put("/bucket/a?partNumber=1")},
		{"upload id of another form", 404, "NoSuchUpload", put("/bucket/a?partNumber=1&uploadId=abc")},
		{"upload id unknown", 404, "NoSuchUpload",
			put("/bucket/a?partNumber=1&uploadId=" + object.UploadID{1}.String())},
		{"part number of a get", 400, "InvalidArgument",
			ask{method: "GET", target: "/bucket/a?partNumber=0"}},
		{"part number and range", 400, "InvalidRequest",
			ask{method: "GET", target: "/bucket/a?partNumber=1", headers: []string{"Range: bytes=0-"}}},

		{"complete without parts", 400, "MalformedXML",
			ask{method: "POST", target: "/bucket/a?" + upload, body: doc("")}},
		{"complete with part 0", 400, "InvalidArgument",
			ask{method: "POST", target: "/bucket/a?" + upload, body: doc(part("0", "x"))}},
		{"complete without etag", 400, "MalformedXML",
			ask{method: "POST", target: "/bucket/a?" + upload, body: doc(part("1", ""))}},
		{"complete with another root", 400, "MalformedXML",
			ask{method: "POST", target: "/bucket/a?" + upload,
				body: "<Complete>" + part("1", "x") + "</Complete>"}},
		{"complete with a strange element", 501, "NotImplemented",
			ask{method: "POST", target: "/bucket/a?" + upload, body: doc(part("1", "x") + "<Lock/>")}},
		{"complete too large", 400, "MaxMessageLengthExceeded",
			ask{method: "POST", target: "/bucket/a?" + upload, body: strings.Repeat(" ", completeMax+1)}},
		{"complete with missing part", 400, "InvalidPart",
			ask{method: "POST", target: "/bucket/a?" + upload, body: doc(part("7", "x"))}},

		{"delete cut off", 400, "MalformedXML",
			ask{method: "POST", target: "/bucket?delete", body: "<Delete><Obj"}},
		{"delete empty", 400, "MalformedXML", ask{method: "POST", target: "/bucket?delete",
			body: "<Delete></Delete>"}},
		{"delete with a version", 501, "NotImplemented", ask{method: "POST", target: "/bucket?delete",
			body: "<Delete><Object><Key>a</Key><VersionId>1</VersionId></Object></Delete>"}},
		{"delete with a condition", 501, "NotImplemented", ask{method: "POST", target: "/bucket?delete",
			body: "<Delete><Object><Key>a</Key><ETag>1</ETag></Object></Delete>"}},
		{"delete of 1001", 400, "MalformedXML", ask{method: "POST", target: "/bucket?delete",
			body: "<Delete>" + strings.Repeat("<Object><Key>a</Key></Object>", 1001) + "</Delete>"}},
		{"delete without digest", 400, "InvalidRequest",
			ask{method: "POST", target: "/bucket?delete", noSum: true,
				body: "<Delete><Object><Key>a</Key></Object></Delete>"}},
		{"delete with a wrong digest", 400, "BadDigest",
			ask{method: "POST", target: "/bucket?delete", noSum: true,
				headers: []string{"Content-Md5: 1B2M2Y8AsgTpgAmY7PhCfg=="},
				body:    "<Delete><Object><Key>a</Key></Object></Delete>"}},
		{"delete with two roots", 400, "MalformedXML", ask{method: "POST", target: "/bucket?delete",
			body: "<Delete><Object><Key>a</Key></Object></Delete><x/>"}},
		{"delete with a directive", 400, "MalformedXML", ask{method: "POST", target: "/bucket?delete",
			body: "<!DOCTYPE x><Delete><Object><Key>a</Key></Object></Delete>"}},

		{"md5 of another form", 400, "InvalidDigest", put("/bucket/a", "Content-Md5: xyz")},
		{"md5 mismatch", 400, "BadDigest", put("/bucket/a", "Content-Md5: 1B2M2Y8AsgTpgAmY7PhCfg==")},
		{"checksum mismatch", 400, "BadDigest", put("/bucket/a", "X-Amz-Checksum-Crc32: AAAAAA==")},
		{"checksum of another form", 400, "InvalidRequest", put("/bucket/a", "X-Amz-Checksum-Crc32: AAAAA")},
		{"two checksums", 400, "InvalidRequest",
			put("/bucket/a", "X-Amz-Checksum-Crc32: AAAAAA==", "X-Amz-Checksum-Crc32c: AAAAAA==")},
		{"unknown checksum", 501, "NotImplemented", put("/bucket/a", "X-Amz-Checksum-Md4: AAAAAA==")},
		{"checksum of a get", 501, "NotImplemented",
			ask{method: "GET", target: "/bucket/a", headers: []string{"X-Amz-Checksum-Crc32: AAAAAA=="}}},
		{"checksum type", 400, "InvalidRequest", ask{method: "POST", target: "/bucket/a?uploads",
			headers: []string{"X-Amz-Checksum-Algorithm: SHA1", "X-Amz-Checksum-Type: FULL_OBJECT"}}},
		{"trailer mismatch", 400, "BadDigest", ask{method: "PUT", target: "/bucket/a", body: "data",
			chunks: auth.UnsignedTrailer, trailer: "x-amz-checksum-crc32:AAAAAA=="}},

		{"max-keys negative", 400, "InvalidArgument", ask{method: "GET", target: "/bucket?max-keys=-1"}},
		{"encoding unknown", 400, "InvalidArgument", ask{method: "GET", target: "/bucket?encoding-type=b64"}},
		{"list type 3", 400, "InvalidArgument", ask{method: "GET", target: "/bucket?list-type=3"}},
		{"empty token", 400, "InvalidArgument",
			ask{method: "GET", target: "/bucket?list-type=2&continuation-token="}},
		{"override with a line break", 400, "InvalidArgument",
			ask{method: "GET", target: "/bucket/a?response-content-type=a%0d%0aX:y"}},

		{"copy source without key", 400, "InvalidArgument", put("/bucket/a", "X-Amz-Copy-Source: bucket")},
		{"copy of a version", 501, "NotImplemented",
			put("/bucket/a", "X-Amz-Copy-Source: bucket/a?versionId=1")},
		{"copy with a bare question mark", 400, "InvalidArgument",
			put("/bucket/a", "X-Amz-Copy-Source: bucket/a?b")},
		{"copy from an access point", 400, "InvalidArgument",
			put("/bucket/a", "X-Amz-Copy-Source: arn:aws:s3:x:1:accesspoint/a/object/b")},
		{"copy from a strange bucket", 400, "InvalidBucketName",
			put("/bucket/a", "X-Amz-Copy-Source: No/key")},
		{"copy from no bucket", 404, "NoSuchBucket", put("/bucket/a", "X-Amz-Copy-Source: nowhere/key")},
		{"copy directive", 400, "InvalidArgument",
			put("/bucket/a", "X-Amz-Copy-Source: bucket/b", "X-Amz-Metadata-Directive: MERGE")},
		{"directive without copy", 400, "InvalidArgument",
			put("/bucket/a", "X-Amz-Metadata-Directive: COPY")},
		{"copy range open", 400, "InvalidArgument", put("/bucket/a?partNumber=1&"+upload,
			"X-Amz-Copy-Source: bucket/b", "X-Amz-Copy-Source-Range: bytes=1-")},
		{"metadata of a part", 400, "InvalidArgument",
			put("/bucket/a?partNumber=1&"+upload, "X-Amz-Meta-A: b")},
		{"owner differs", 403, "AccessDenied", put("/bucket/a", "X-Amz-Expected-Bucket-Owner: 123456789012")},
		{"region in a create", 400, "MalformedXML", ask{method: "PUT", target: "/bucket2", body: "<x/>"}},
		{"digest of a create", 400, "BadDigest", ask{method: "PUT", target: "/bucket2",
			headers: []string{"X-Amz-Checksum-Crc32: AAAAAQ=="}}},
		{"tags in a create", 501, "NotImplemented", ask{method: "PUT", target: "/bucket2",
			body: "<CreateBucketConfiguration><Tags/></CreateBucketConfiguration>"}},

		{"unknown key", 403, "InvalidAccessKeyId",
			ask{method: "GET", target: "/bucket/a", key: "GKNOBODY", secret: "x"}},
		{"wrong secret", 403, "SignatureDoesNotMatch", ask{method: "GET", target: "/bucket/a", secret: "x"}},
		{"anonymous", 403, "AccessDenied", put2anonymous()},
		{"path changed after signing", 403, "SignatureDoesNotMatch",
			ask{method: "DELETE", target: "/bucket/b",
				tamper: func(r *http.Request) { r.RequestURI = "/bucket/a" }}},
		{"body changed", 400, "XAmzContentSHA256Mismatch",
			ask{method: "PUT", target: "/bucket/a", body: "data",
				wire: strings.NewReader("evil")}},
		{"body cut off", 400, "IncompleteBody", ask{method: "PUT", target: "/bucket/a", body: "data",
			wire: io.MultiReader(strings.NewReader("da"), errReader{io.ErrUnexpectedEOF})}},
		{"body short", 400, "IncompleteBody", ask{method: "PUT", target: "/bucket/a", body: "data",
			wire: strings.NewReader("dat")}},
		{"body too slow", 400, "RequestTimeout", ask{method: "PUT", target: "/bucket/a", body: "data",
			wire: errReader{slowError{}}}},
		{"connection lost", 400, "IncompleteBody", ask{method: "PUT", target: "/bucket/a", body: "data",
			wire: errReader{errors.New("reset by peer")}}},
		{"no length", 411, "MissingContentLength", ask{method: "PUT", target: "/bucket/a", body: "data",
			tamper: func(r *http.Request) { r.ContentLength = -1 }}},
		{"too large", 400, "EntityTooLarge", ask{method: "PUT", target: "/bucket/a", body: "data",
			tamper: func(r *http.Request) { r.ContentLength = object.PutMax + 1 }}},
		{"bad chunk signature", 403, "SignatureDoesNotMatch",
			ask{method: "PUT", target: "/bucket/a", body: "data",
				chunks: auth.SignedChunks, wire: strings.NewReader("4;chunk-signature=" + strings.Repeat("0",
					64) +
					"\r\ndata\r\n0;chunk-signature=" + strings.Repeat("0", 64) + "\r\n\r\n")}},
		{"chunked body cut off", 400, "IncompleteBody", ask{method: "PUT", target: "/bucket/a", body: "data",
			chunks: auth.UnsignedTrailer, wire: strings.NewReader("4\r\nda")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.put("a", "precious")
			w.store.CreateUpload(context.Background(), bucketID("bucket"), "a", nil, "", "")
			w.refused(tt.status, tt.code, tt.ask)
			o, err := w.store.find(bucketID("bucket"), "a")
			if err != nil || string(o.data) != "precious" {
				t.Errorf("the object is gone or changed: %v, %v", o, err)
			}
			if len(w.env.lines) != 1 {
				t.Errorf("%d log lines, want 1: %q", len(w.env.lines), w.env.lines)
			}
		})
	}
}

func preflight(target string) ask {
	return ask{method: "OPTIONS", target: target, key: "-",
		headers: []string{"Origin: https://a.example", "Access-Control-Request-Method: GET"}}
}

func putRules(rules string) ask {
	return ask{method: "PUT", target: "/bucket?cors",
		body: "<CORSConfiguration>" + rules + "</CORSConfiguration>"}
}

func corsXML(origin, method, more string) string {
	return "<CORSRule><AllowedOrigin>" + origin + "</AllowedOrigin><AllowedMethod>" + method +
		"</AllowedMethod>" + more + "</CORSRule>"
}

func put2anonymous() ask { return ask{method: "PUT", target: "/bucket/a", body: "data", key: "-"} }

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

type slowError struct{}

func (slowError) Error() string { return "i/o timeout" }
func (slowError) Timeout() bool { return true }

// TestTimes tells the request's time from the server's.
func TestTimes(t *testing.T) {
	for _, d := range []time.Duration{20 * time.Minute, -20 * time.Minute} {
		w := newWorld(t)
		r := w.request(ask{method: "GET", target: "/bucket"})
		w.env.wall = w.env.wall.Add(d)
		if resp := w.serve(r); resp.StatusCode != 403 || errorCode(text(resp)) != "RequestTimeTooSkewed" {
			t.Errorf("clock off by %v: %d", d, resp.StatusCode)
		}
	}
}

// TestKinds maps the errors of the packages below.
func TestKinds(t *testing.T) {
	unknown := &quorum.Error{Op: "write", Subject: "x", Need: 2, Of: 3, Got: 1, Unknown: true}
	unsent := &quorum.Error{Op: "write", Subject: "x", Need: 2, Of: 3, Got: 1}
	busy := &quorum.Error{Op: "write", Need: 2, Of: 3,
		Causes: []quorum.Cause{{Node: "a", Err: rpc.ErrOverloaded}}}
	tests := []struct {
		err    error
		put    int
		code   string
		get    int
		getTo  string
		unlike string
	}{
		{unknown, 503, "OutcomeUnknown", 503, "ServiceUnavailable", ""},
		{unsent, 503, "ServiceUnavailable", 503, "ServiceUnavailable", ""},
		{busy, 503, "SlowDown", 503, "SlowDown", ""},
		{context.DeadlineExceeded, 503, "OutcomeUnknown", 503, "ServiceUnavailable", ""},
		{block.ErrDisk, 500, "InternalError", 500, "InternalError", "disk error"},
		{bucket.ErrDenied, 403, "AccessDenied", 403, "AccessDenied", ""},
	}
	for _, tt := range tests {
		w := newWorld(t)
		w.store.fail = fmt.Errorf("put: %w", tt.err)
		body := w.refused(tt.put, tt.code, ask{method: "PUT", target: "/bucket/a", body: "x"})
		w.refused(tt.get, tt.getTo, ask{method: "GET", target: "/bucket/a"})
		resp := w.do(ask{method: "GET", target: "/bucket/a"})
		if (resp.Header.Get("Retry-After") != "") != (tt.get == 503) {
			t.Errorf("%v: Retry-After %q", tt.err, resp.Header.Get("Retry-After"))
		}
		if tt.unlike != "" && strings.Contains(body, tt.unlike) {
			t.Errorf("the client is told of the inside: %s", body)
		}
	}
}

// TestClosedBucket: a write that a closed bucket refused is answered by what has become of the bucket's name.
func TestClosedBucket(t *testing.T) {
	w := newWorld(t)
	w.store.fail = fmt.Errorf("put: %w", bucket.ErrClosed)
	w.refused(503, "OutcomeUnknown", ask{method: "PUT", target: "/bucket/a", body: "x"})
	w.store.again = fmt.Errorf("bucket: %w", bucket.ErrNoSuchBucket)
	w.refused(404, "NoSuchBucket", ask{method: "PUT", target: "/bucket/a", body: "x"})
}

// TestGrants checks what each permission opens.
func TestGrants(t *testing.T) {
	u := "?uploadId=" + object.UploadID{15: 1}.String()
	asks := []struct {
		name             string
		ask              ask
		read, write, own int
	}{
		{"list buckets", ask{method: "GET", target: "/"}, 200, 200, 200},
		{"create", ask{method: "PUT", target: "/bucket3"}, 403, 403, 403},
		{"head bucket", ask{method: "HEAD", target: "/bucket"}, 200, 403, 403},
		{"location", ask{method: "GET", target: "/bucket?location"}, 200, 200, 200},
		{"list", ask{method: "GET", target: "/bucket"}, 200, 403, 403},
		{"list 2", ask{method: "GET", target: "/bucket?list-type=2"}, 200, 403, 403},
		{"uploads", ask{method: "GET", target: "/bucket?uploads"}, 403, 200, 403},
		{"parts", ask{method: "GET", target: "/bucket/a" + u}, 403, 200, 403},
		{"get", ask{method: "GET", target: "/bucket/a"}, 200, 403, 403},
		{"head", ask{method: "HEAD", target: "/bucket/a"}, 200, 403, 403},
		{"put", ask{method: "PUT", target: "/bucket/b"}, 403, 200, 403},
		{"delete", ask{method: "DELETE", target: "/bucket/b"}, 403, 204, 403},
		{"delete many", ask{method: "POST", target: "/bucket?delete",
			body: "<Delete><Object><Key>b</Key></Object></Delete>"}, 403, 200, 403},
		{"copy", ask{method: "PUT", target: "/bucket/b", headers: []string{"X-Amz-Copy-Source: bucket/a"}},
			403, 403, 403},
		{"create upload", ask{method: "POST", target: "/bucket/a?uploads"}, 403, 200, 403},
		{"part", ask{method: "PUT", target: "/bucket/a" + u + "&partNumber=1"}, 403, 200, 403},
		{"abort", ask{method: "DELETE", target: "/bucket/a" + u}, 403, 204, 403},
		{"delete bucket", ask{method: "DELETE", target: "/bucket"}, 403, 403, 409},
		{"get rules", ask{method: "GET", target: "/bucket?cors"}, 403, 403, 404},
		{"put rules", putRules(corsXML("*", "GET", "")), 403, 403, 200},
		{"delete rules", ask{method: "DELETE", target: "/bucket?cors"}, 403, 403, 204},
	}
	for _, tt := range asks {
		tt.ask.key = guestKey
		for grant, want := range map[bucket.Grant]int{{Read: true}: tt.read, {Write: true}: tt.write,
			{Owner: true}: tt.own,
			{}:            403} {
			if (grant == bucket.Grant{}) && tt.ask.target == "/" {
				want = 200
			}
			w := newWorld(t)
			w.put("a", "x")
			w.store.CreateUpload(context.Background(), bucketID("bucket"), "a", nil, "", "")
			w.grant(grant)
			if resp := w.do(tt.ask); resp.StatusCode != want {
				t.Errorf("%s with %+v: status %d, want %d: %s", tt.name, grant, resp.StatusCode, want,
					text(resp))
			}
		}
	}
}

// TestGates checks the order of the gates: an earlier one hides the later.
func TestGates(t *testing.T) {
	w := newWorld(t)
	w.ready = errors.New("waiting")
	w.refused(503, "ServiceUnavailable", ask{method: "PUT", target: "/Bad", key: "-"})
	w.ready = nil
	w.refused(400, "InvalidBucketName", ask{method: "PUT", target: "/Bad?x-amz-acl=public", key: "-"})
	w.refused(501, "NotImplemented", ask{method: "PUT", target: "/nowhere/a?x-amz-acl=public", key: "-"})
	w.refused(403, "AccessDenied", ask{method: "PUT", target: "/nowhere/a", key: "-"})
	w.refused(404, "NoSuchBucket", ask{method: "PUT", target: "/nowhere/a", key: guestKey})
	w.refused(403, "AccessDenied", ask{method: "PUT", target: "/bucket/a?partNumber=0&uploadId=x",
		key: guestKey})
}
