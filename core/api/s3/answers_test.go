package s3

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"granary/core/auth"
	"granary/core/goldentest"
	"granary/core/object"
)

// transcript writes what was asked and answered: status, headers in order, body.
type transcript struct {
	w *world
	b strings.Builder
}

// comment adds a line of prose.
func (s *transcript) comment(text string) { fmt.Fprintf(&s.b, "# %s\n\n", text) }

// ask sends a request and writes it down.
func (s *transcript) ask(a ask) *http.Response {
	fmt.Fprintf(&s.b, "> %s %s\n", a.method, a.target)
	for _, h := range a.headers {
		fmt.Fprintf(&s.b, "> %s\n", h)
	}
	if len(a.body) > 0 && len(a.body) < 1000 {
		fmt.Fprintf(&s.b, "> | %s\n", a.body)
	}
	resp := s.w.do(a)
	fmt.Fprintf(&s.b, "%d\n", resp.StatusCode)
	var names []string
	for name := range resp.Header {
		if name != "Server" && name != "X-Amz-Id-2" && name != "X-Amz-Request-Id" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&s.b, "%s: %s\n", name, strings.Join(resp.Header[name], " / "))
	}
	body := text(resp)
	if strings.HasPrefix(body, xmlHead) {
		body = strings.TrimPrefix(strings.ReplaceAll(body, "><", ">\n<"), xmlHead)
		body = emptyElement.ReplaceAllString(body, "<$1></")
	}
	if body != "" {
		fmt.Fprintf(&s.b, "\n%s\n", body)
	}
	s.b.WriteString("\n")
	return resp
}

var emptyElement = regexp.MustCompile(`<(\w+)>\n</`)

// TestAnswers compares every kind of answer, byte for byte, with testdata/answers.txt.
func TestAnswers(t *testing.T) {
	w := newWorld(t)
	s := &transcript{w: w}
	for _, chapter := range []func(*transcript){
		answersBuckets, answersObjects, answersReads, answersLists, answersCopies, answersUploads,
		answersCORS, answersErrors,
	} {
		chapter(s)
	}
	goldentest.Check(t, "testdata/answers.txt", s.b.String())
}

func answersBuckets(s *transcript) {
	s.comment("Buckets.")
	s.ask(ask{method: "PUT", target: "/other"})
	s.ask(ask{method: "PUT", target: "/other"})
	s.ask(ask{method: "PUT", target: "/else", body: `<CreateBucketConfiguration xmlns="` + xmlNamespace +
		`"><LocationConstraint>mars-1</LocationConstraint></CreateBucketConfiguration>`})
	s.ask(ask{method: "GET", target: "/"})
	s.ask(ask{method: "GET", target: "/?max-buckets=1&prefix=b&continuation-token=a"})
	s.ask(ask{method: "HEAD", target: "/bucket"})
	s.ask(ask{method: "GET", target: "/bucket?location"})
	s.ask(ask{method: "DELETE", target: "/other"})
	s.ask(ask{method: "HEAD", target: "/other"})
}

func answersObjects(s *transcript) {
	s.comment("Objects.")
	s.ask(ask{method: "PUT", target: "/bucket/plain", body: "hello"})
	s.ask(ask{method: "PUT", target: "/bucket/rich%20%26%20co", body: "hello", headers: []string{
		"Content-Type: text/plain", "Cache-Control: max-age=3", "Content-Encoding: aws-chunked,gzip",
		"Content-Disposition: attachment", "Content-Language: de", "Expires: Thu, 01 Jan 2032 00:00:00 GMT",
		"X-Amz-Meta-Color: red", "X-Amz-Meta-Color: green", "X-Amz-Meta-A: b",
		"X-Amz-Storage-Class: STANDARD",
		"X-Amz-Acl: private", "X-Amz-Checksum-Crc32c: " + checksum(auth.CRC32C, "hello")}})
	s.ask(ask{method: "HEAD", target: "/bucket/rich%20%26%20co",
		headers: []string{"X-Amz-Checksum-Mode: ENABLED"}})
	s.ask(ask{method: "GET",
		target: "/bucket/rich%20%26%20co?response-content-type=a/b&response-expires=never"})
	s.ask(ask{method: "DELETE", target: "/bucket/plain"})
	s.ask(ask{method: "DELETE", target: "/bucket/plain"})
	s.ask(ask{method: "GET", target: "/bucket/plain"})
	s.ask(ask{method: "HEAD", target: "/bucket/plain"})
	s.w.put("a", "1")
	s.w.put("b<&>", "2")
	s.ask(ask{method: "POST", target: "/bucket?delete", body: "<Delete><Object><Key>a</Key></Object>" +
		"<Object><Key>b&lt;&amp;&gt;</Key></Object><Object><Key>" + strings.Repeat("k", 1025) +
		"</Key></Object></Delete>"})
	s.ask(ask{method: "POST", target: "/bucket?delete",
		body: "<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object></Delete>"})
}

func checksum(a auth.Algorithm, data string) string { return checksumOf(a, data).String() }

func checksumOf(a auth.Algorithm, data string) auth.Checksum {
	h := auth.NewHasher(auth.HasherOptions{Algorithm: a})
	h.Write([]byte(data))
	return h.Sums().Checksum
}

func answersReads(s *transcript) {
	s.comment("Ranges and conditions.")
	s.w.put("digits", "0123456789")
	for _, h := range []string{"Range: bytes=2-4", "Range: bytes=-3", "Range: bytes=10-",
		"Range: bytes=0-1,3-4",
		`If-None-Match: "` + md5Of("0123456789") + `"`, `If-Match: "other"`} {
		s.ask(ask{method: "GET", target: "/bucket/digits", headers: []string{h}})
	}
	s.ask(ask{method: "HEAD", target: "/bucket/digits", headers: []string{"Range: bytes=1-"}})
	s.ask(ask{method: "GET", target: "/bucket/digits?partNumber=1"})
	s.ask(ask{method: "GET", target: "/bucket/digits?partNumber=2"})
}

func answersLists(s *transcript) {
	s.comment("Listings.")
	for _, k := range []string{"dir/1", "dir/2", "dir2/ü &", "z"} {
		s.w.put(k, k)
	}
	s.ask(ask{method: "GET", target: "/bucket?delimiter=/&max-keys=3"})
	s.ask(ask{method: "GET", target: "/bucket?delimiter=/&max-keys=2&marker=dir/"})
	s.ask(ask{method: "GET", target: "/bucket?list-type=2&prefix=dir2/&encoding-type=url&fetch-owner=true"})
	s.ask(ask{method: "GET", target: "/bucket?list-type=2&max-keys=1&start-after=dir/1"})
	s.ask(ask{method: "GET",
		target: "/bucket?list-type=2&max-keys=1&continuation-token=6469722f32&delimiter=%20"})
	s.ask(ask{method: "GET", target: "/bucket?list-type=2&max-keys=0"})
	s.ask(ask{method: "GET", target: "/bucket?list-type=2&continuation-token=x"})
}

func answersCopies(s *transcript) {
	s.comment("Copies.")
	s.ask(ask{method: "PUT", target: "/bucket/copy",
		headers: []string{"X-Amz-Copy-Source: /bucket/dir2%2F%C3%BC%20&"}})
	s.ask(ask{method: "PUT", target: "/bucket/copy", headers: []string{"X-Amz-Copy-Source: bucket/copy",
		"X-Amz-Metadata-Directive: REPLACE", "X-Amz-Meta-New: yes", "X-Amz-Checksum-Algorithm: SHA256"}})
	s.ask(ask{method: "HEAD", target: "/bucket/copy", headers: []string{"X-Amz-Checksum-Mode: enabled"}})
	s.ask(ask{method: "PUT", target: "/bucket/copy", headers: []string{"X-Amz-Copy-Source: bucket/copy"}})
	s.ask(ask{method: "PUT", target: "/bucket/copy", headers: []string{"X-Amz-Copy-Source: bucket/absent"}})
}

func answersUploads(s *transcript) {
	s.comment("Multipart.")
	s.ask(ask{method: "POST", target: "/bucket/big?uploads", headers: []string{"Content-Type: a/b",
		"X-Amz-Checksum-Algorithm: CRC64NVME"}})
	u := "/bucket/big?uploadId=" + object.UploadID{15: 1}.String()
	first, second := strings.Repeat("x", object.PartSizeMin), "the end"
	sum := func(data string) []string {
		return []string{"X-Amz-Checksum-Crc64nvme: " + checksum(auth.CRC64NVME, data)}
	}
	s.ask(ask{method: "PUT", target: u + "&partNumber=1", body: first, headers: sum(first)})
	s.ask(ask{method: "PUT", target: u + "&partNumber=2", body: second, headers: sum(second)})
	s.ask(ask{method: "PUT", target: u + "&partNumber=3",
		headers: []string{"X-Amz-Copy-Source: bucket/digits",
			"X-Amz-Copy-Source-Range: bytes=2-5"}})
	s.ask(ask{method: "GET", target: u + "&max-parts=2"})
	s.ask(ask{method: "GET", target: u + "&max-parts=2&part-number-marker=2"})
	s.ask(ask{method: "POST", target: "/bucket/dir/x?uploads"})
	s.ask(ask{method: "GET", target: "/bucket?uploads&delimiter=/&max-uploads=1"})
	s.ask(ask{method: "GET", target: "/bucket?uploads&delimiter=/&key-marker=big&encoding-type=url"})
	s.ask(ask{method: "DELETE", target: "/bucket/dir/x?uploadId=" + object.UploadID{15: 2}.String()})
	part := func(n int, data string) string {
		return fmt.Sprintf(`<Part><PartNumber>%d</PartNumber><ETag>"%s"</ETag></Part>`, n, md5Of(data))
	}
	complete := func(parts string, headers ...string) {
		s.ask(ask{method: "POST", target: u, headers: headers,
			body: `<CompleteMultipartUpload xmlns="` + xmlNamespace +
				`">` + parts + "</CompleteMultipartUpload>"})
	}
	complete(part(1, first) + part(2, second) + part(3, "2345"))
	complete(part(3, "2345") + part(1, first))
	complete(part(1, first)+part(3, "2345"), "X-Amz-Checksum-Crc64nvme: "+checksum(auth.CRC64NVME, first))
	complete(part(1, first)+part(3, "2345"), "X-Amz-Mp-Object-Size: 5242884",
		"X-Amz-Checksum-Type: FULL_OBJECT",
		"X-Amz-Checksum-Crc64nvme: "+checksum(auth.CRC64NVME, first+"2345"))
	s.ask(ask{method: "GET", target: "/bucket/big?partNumber=2"})
	s.ask(ask{method: "HEAD", target: "/bucket/big?partNumber=1"})
	s.ask(ask{method: "GET", target: u})
}

func answersCORS(s *transcript) {
	s.comment("Pages of other origins.")
	s.ask(ask{method: "PUT", target: "/bucket?cors", body: `<CORSConfiguration xmlns="` + xmlNamespace +
		`">` + corsXML("https://*.example", "GET</AllowedMethod>\n<AllowedMethod>PUT", "<ID>1</ID>"+
		"<AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader>"+
		"<MaxAgeSeconds>60</MaxAgeSeconds>") +
		corsXML("*", "HEAD", "") + "</CORSConfiguration>"})
	s.ask(ask{method: "GET", target: "/bucket?cors"})
	page := preflight("/bucket/new?partNumber=1&uploadId=x")
	page.headers[1] = "Access-Control-Request-Method: PUT"
	page.headers = append(page.headers, "Access-Control-Request-Headers: authorization,x-amz-date")
	s.ask(page)
	page.headers[0] = "Origin: https://b.example.org"
	s.ask(page)
	s.w.put("new", "1")
	s.ask(ask{method: "GET", target: "/bucket/new", headers: []string{"Origin: https://a.example"}})
	s.ask(ask{method: "HEAD", target: "/bucket/new", headers: []string{"Origin: https://b.example.org"}})
	s.ask(ask{method: "GET", target: "/bucket/new"})
	s.ask(ask{method: "GET", target: "/bucket/new", key: "-", headers: []string{"Origin: https://a.example"}})
	s.ask(ask{method: "GET", target: "/bucket?acl", headers: []string{"Origin: https://a.example"}})
	s.ask(ask{method: "DELETE", target: "/bucket?cors"})
	s.ask(ask{method: "GET", target: "/bucket/new", headers: []string{"Origin: https://a.example"}})
}

func answersErrors(s *transcript) {
	s.comment("Errors.")
	s.ask(ask{method: "GET", target: "/bucket/a", key: "-"})
	s.ask(ask{method: "GET", target: "/nowhere/a"})
	s.ask(ask{method: "GET", target: "/bucket?versioning"})
	s.ask(ask{method: "PUT", target: "/bucket/a", headers: []string{"If-None-Match: *"}})
	s.ask(ask{method: "PUT", target: "/bucket/a", headers: []string{"X-Amz-Server-Side-Encryption: AES256"}})
	s.ask(ask{method: "PUT", target: "/bucket/a", headers: []string{"X-Amz-Storage-Class: GLACIER"}})
	s.ask(ask{method: "PUT", target: "/bucket/a?tag=1"})
	s.ask(ask{method: "PATCH", target: "/bucket/a"})
	s.w.ready = errNotReady
	s.ask(ask{method: "GET", target: "/bucket/a"})
	s.w.ready = nil
}

var errNotReady = errors.New("2 more nodes needed")
