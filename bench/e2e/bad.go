package main

import (
	"bufio"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"granary/bench/cluster"
	"granary/bench/content"
)

const badBucket = "bad-input"

// victim is the object that no bad request may change.
var victim = content.Content{ID: 50, Size: 20_000}

const victimKey = "victim"

// badCase is a request that is refused.
type badCase struct {
	name   string
	change func(r *request) // of a PUT of five bytes onto the victim, before it is signed
	after  func(r *request) // after it is signed
	want   string           // code; empty: any refusal
	status int              // 0: that of the code is not looked at
}

// badInput sends bad requests over a socket, looks at the answers, and that nothing was lost.
func badInput(ctx context.Context, s *scene, c *cluster.Cluster) {
	client, err := c.Client(0)
	if err == nil {
		err = client.MakeBucket(ctx, badBucket, minio.MakeBucketOptions{})
	}
	if err == nil {
		_, err = client.PutObject(ctx, badBucket, victimKey, victim.Reader(), victim.Size, "", "",
			minio.PutObjectOptions{})
	}
	if err != nil {
		s.step("bad input: make a bucket", func() error { return err })
		return
	}
	s.step("bad input: a well-signed request passes", func() error {
		r := newRequest(c)
		r.path += "2"
		r.sign()
		return answered(ctx, r, "", http.StatusOK)
	})
	for _, bad := range badCases {
		s.step("bad input: "+bad.name, func() error {
			r := newRequest(c)
			if bad.change != nil {
				bad.change(r)
			}
			if !r.presigned {
				r.sign()
			}
			if bad.after != nil {
				bad.after(r)
			}
			return answered(ctx, r, bad.want, bad.status)
		})
	}
	s.step("bad input: a missing, reordered or small part", func() error { return badParts(ctx, client) })
	s.step("bad input: nothing was lost or changed", func() error {
		return expect(ctx, client, badBucket, victimKey, victim)
	})
}

func newRequest(c *cluster.Cluster) *request {
	return &request{method: http.MethodPut, path: "/" + badBucket + "/" + victimKey, query: url.Values{},
		header: map[string]string{}, body: "hello", at: time.Now(), key: c.Key, host: c.Nodes[0].S3}
}

// presignedGet turns a request into a presigned GET.
func presignedGet(r *request, valid time.Duration) {
	r.method, r.body = http.MethodGet, ""
	r.presign(valid)
}

var badCases = []badCase{
	{name: "wrong secret", change: func(r *request) { r.key.Secret += "x" }, want: "SignatureDoesNotMatch",
		status: 403},
	{name: "changed signature", want: "SignatureDoesNotMatch", status: 403, after: func(r *request) {
		a := r.header["authorization"]
		last := "0"
		if strings.HasSuffix(a, "0") {
			last = "1"
		}
		r.header["authorization"] = a[:len(a)-1] + last
	}},
	{name: "unknown key id", change: func(r *request) { r.key.ID = "GKnobody" }, want: "InvalidAccessKeyId",
		status: 403},
	{name: "no signature", after: func(r *request) { delete(r.header, "authorization") },
		want: "AccessDenied", status: 403},
	{name: "malformed authorization", want: "AuthorizationHeaderMalformed", status: 400,
		after: func(r *request) { r.header["authorization"] = "AWS4-HMAC-SHA256 Credential=x" }},
	{name: "clock 20 minutes behind", want: "RequestTimeTooSkewed", status: 403,
		change: func(r *request) { r.at = r.at.Add(-20 * time.Minute) }},
	{name: "clock 20 minutes ahead", want: "RequestTimeTooSkewed", status: 403,
		change: func(r *request) { r.at = r.at.Add(20 * time.Minute) }},
	{name: "presigned URL that has expired", want: "AccessDenied", status: 403, change: func(r *request) {
		r.at = r.at.Add(-2 * time.Minute)
		presignedGet(r, time.Minute)
	}},
	{name: "presigned URL that was changed", want: "SignatureDoesNotMatch", status: 403,
		change: func(r *request) {
			presignedGet(r, time.Minute)
			r.query.Set("X-Amz-Expires", "600")
		}},
	{name: "body other than its hash", want: "XAmzContentSHA256Mismatch", status: 400,
		after: func(r *request) { r.body = "jello" }},
	{name: "wrong Content-MD5", want: "BadDigest", status: 400,
		change: func(r *request) { r.header["content-md5"] = "1B2M2Y8AsgTpgAmY7PhCfg==" }},
	{name: "malformed Content-MD5", want: "InvalidDigest", status: 400,
		change: func(r *request) { r.header["content-md5"] = "nonsense" }},
	{name: "wrong CRC32", want: "BadDigest", status: 400,
		change: func(r *request) { r.header["x-amz-checksum-crc32"] = "AAAAAA==" }},
	{name: "wrong chunk signature", want: "SignatureDoesNotMatch", status: 403, change: func(r *request) {
		r.payload, r.header["x-amz-decoded-content-length"] = signedChunks, "5"
		no := strings.Repeat("0", 64)
		r.body = "5;chunk-signature=" + no + "\r\nhello\r\n0;chunk-signature=" + no + "\r\n\r\n"
	}},
	{name: "truncated body", want: "IncompleteBody", status: 400, change: func(r *request) {
		r.payload, r.length, r.cut = unsignedPayload, 1000, true
	}},
	{name: "truncated chunks", want: "IncompleteBody", status: 400, change: func(r *request) {
		r.payload, r.header["x-amz-decoded-content-length"] = "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "5"
		r.body, r.length, r.cut = "5\r\nhel", 100, true
	}},
	{name: "malformed XML", want: "MalformedXML", status: 400, change: func(r *request) {
		r.method, r.path, r.body = http.MethodPost, "/"+badBucket, "<Delete><Object>"
		r.query.Set("delete", "")
		r.header["content-md5"] = md5Base64(r.body)
	}},
	{name: "oversized metadata", want: "MetadataTooLarge", status: 400,
		change: func(r *request) { r.header["x-amz-meta-long"] = strings.Repeat("m", 3000) }},
	{name: "headers over the bound of S3", want: "RequestHeaderSectionTooLarge", status: 400,
		change: func(r *request) { r.header["cookie"] = strings.Repeat("c", 34_000) }},
	{name: "headers over the bound of the socket", status: 431,
		change: func(r *request) { r.header["cookie"] = strings.Repeat("c", 200_000) }},
	{name: "header that is not implemented", want: "NotImplemented", status: 501,
		change: func(r *request) { r.header["x-amz-server-side-encryption"] = "AES256" }},
	{name: "sub-resource that is not implemented", want: "NotImplemented", status: 501,
		change: func(r *request) { r.query.Set("tagging", "") }},
	{name: "key of 1,025 bytes", want: "KeyTooLongError", status: 400,
		change: func(r *request) { r.path = "/" + badBucket + "/" + strings.Repeat("k", 1025) }},
	{name: "key of invalid UTF-8", want: "InvalidURI", status: 400,
		change: func(r *request) { r.path += "%FF%FE" }},
	{name: "part number 0", want: "InvalidArgument", status: 400,
		change: func(r *request) { partNumber(r, "0") }},
	{name: "part number 10,001", want: "InvalidArgument", status: 400,
		change: func(r *request) { partNumber(r, "10001") }},
	{name: "unknown upload", want: "NoSuchUpload", status: 404,
		change: func(r *request) { partNumber(r, "1") }},
	{name: "bucket that does not exist", want: "NoSuchBucket", status: 404,
		change: func(r *request) { r.path = "/no-such-bucket/key" }},
	{name: "bucket name with capitals", want: "InvalidBucketName", status: 400,
		change: makeBucket("Capitals")},
	{name: "bucket name of two letters", want: "InvalidBucketName", status: 400, change: makeBucket("ab")},
	{name: "bucket name like an address", want: "InvalidBucketName", status: 400,
		change: makeBucket("192.168.0.1")},
}

func makeBucket(name string) func(*request) {
	return func(r *request) { r.path, r.body = "/"+name, "" }
}

func partNumber(r *request, number string) {
	r.query.Set("partNumber", number)
	r.query.Set("uploadId", "AAAAAAAAAAAAAAAAAAAAAA")
}

// answered sends a request over a socket of its own, ends its side of a cut one, and compares the answer with
// a code and a status.
func answered(ctx context.Context, r *request, code string, status int) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", r.host)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	// A server may refuse by the headers and close: what it said then still counts.
	_, sendErr := io.WriteString(conn, r.wire())
	if r.cut {
		sendErr = errors.Join(sendErr, conn.(*net.TCPConn).CloseWrite())
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: r.method})
	if err != nil {
		return fmt.Errorf("no answer: %w", errors.Join(err, sendErr))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil && code != "" {
		return fmt.Errorf("answer of status %d: %w", resp.StatusCode, err)
	}
	var e struct{ Code, Message string }
	if code != "" {
		if err := xml.Unmarshal(body, &e); err != nil {
			return fmt.Errorf("status %d, and no XML: %w: %.200s", resp.StatusCode, err, body)
		}
	}
	if e.Code != code || status != resp.StatusCode || code != "" && e.Message == "" {
		return fmt.Errorf("status %d, code %q, message %q, want status %d, code %q: %.300s", resp.StatusCode,
			e.Code, e.Message,
			status, code, body)
	}
	return nil
}

// badParts completes an upload wrongly, then rightly.
func badParts(ctx context.Context, client *minio.Core) error {
	const key = "parts"
	id, err := client.NewMultipartUpload(ctx, badBucket, key, minio.PutObjectOptions{})
	if err != nil {
		return err
	}
	var parts []minio.CompletePart
	for i := 1; i <= 3; i++ {
		c := content.Content{ID: uint64(i), Size: 5 << 20}
		if i == 3 {
			c.Size = 1000
		}
		p, err := client.PutObjectPart(ctx, badBucket, key, id, i, c.Reader(), c.Size,
			minio.PutObjectPartOptions{})
		if err != nil {
			return err
		}
		parts = append(parts, minio.CompletePart{PartNumber: i, ETag: p.ETag})
	}
	missing := minio.CompletePart{PartNumber: 9, ETag: parts[0].ETag}
	for _, c := range []struct {
		want  string
		parts []minio.CompletePart
	}{
		{"InvalidPart", []minio.CompletePart{parts[0], missing}},
		{"InvalidPart", []minio.CompletePart{parts[0], {PartNumber: 2, ETag: parts[2].ETag}}},
		{"InvalidPartOrder", []minio.CompletePart{parts[1], parts[0]}},
		{"EntityTooSmall", []minio.CompletePart{{PartNumber: 3, ETag: parts[2].ETag}, missing}},
		{"", parts},
	} {
		_, err := client.CompleteMultipartUpload(ctx, badBucket, key, id, c.parts, minio.PutObjectOptions{})
		if code := minio.ToErrorResponse(err).Code; code != c.want && (err != nil || c.want != "") {
			return fmt.Errorf("complete with %v: code %q (%w), want %q", c.parts, code, err, c.want)
		}
	}
	info, err := client.StatObject(ctx, badBucket, key, minio.StatObjectOptions{})
	if err == nil && info.Size != 10<<20+1000 {
		err = fmt.Errorf("the completed object has %d bytes", info.Size)
	}
	return err
}
