package s3

import (
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"granary/core/bucket"
	"granary/core/object"
)

func FuzzCopySource(f *testing.F) {
	for _, s := range []string{"bucket/key", "/bucket/a%20b//c", "bucket/a?versionId=1", "arn:aws:s3:::b",
		"%", "bucket/%ff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		s, err := parseCopySource(value)
		if err != nil {
			return
		}
		if bucket.CheckName(s.bucket) != nil || s.key == "" || len(s.key) > object.KeyMax ||
			!utf8.ValidString(string(s.key)) {
			t.Fatalf("%q became %+v", value, s)
		}
		again, err := parseCopySource(s.bucket + "/" + string(appendEscaped(nil, string(s.key))))
		if err != nil || again != s {
			t.Fatalf("%+v does not come back: %+v, %v", s, again, err)
		}
	})
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=-5", "bytes=5-", "bytes=9223372036854775808-",
		"bytes=0-1,2-3", "x"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, value string, size int64) {
		if size < 0 {
			return
		}
		e, err := parseRange(value).inSize(size)
		if err == nil && (e.off < 0 || e.length < 0 || e.off+e.length > size || e.partial && e.length == 0) {
			t.Fatalf("%q of %d bytes: %+v", value, size, e)
		}
	})
}

func FuzzDeleteXML(f *testing.F) {
	f.Add([]byte("<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object></Delete>"))
	f.Add([]byte(`<?xml version="1.0"?>
		<Delete xmlns="x"><Object><Key>&#x61;</Key><VersionId/></Object></Delete>`))
	f.Add([]byte("<Delete><Object>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseDelete(b)
		if err != nil {
			if f := classify(err, true); f.status >= 500 && f.name != "NotImplemented" {
				t.Fatalf("%q: %v", b, err)
			}
			return
		}
		if len(l.keys) == 0 || len(l.keys) > object.DeleteMax {
			t.Fatalf("%d keys", len(l.keys))
		}
		var d doc
		d.begin("Delete")
		for _, k := range l.keys {
			if !utf8.ValidString(k) {
				t.Fatalf("key %q", k)
			}
			d.open("Object")
			d.text("Key", k)
			d.close("Object")
		}
		d.close("Delete")
		again, err := parseDelete(d.b)
		if err != nil || len(again.keys) != len(l.keys) {
			t.Fatalf("%q does not come back: %v", l.keys, err)
		}
		for i, k := range l.keys {
			if again.keys[i] != k {
				t.Fatalf("key %q came back as %q", k, again.keys[i])
			}
		}
	})
}

func FuzzCompleteXML(f *testing.F) {
	for _, part := range []string{"<PartNumber>1</PartNumber><ETag>&quot;x&quot;</ETag>",
		"<PartNumber>0</PartNumber>"} {
		f.Add([]byte("<CompleteMultipartUpload><Part>" + part + "</Part></CompleteMultipartUpload>"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		parts, err := parseComplete(b)
		if err != nil {
			return
		}
		for _, p := range parts {
			if p.Number < 1 || p.Number > object.PartMax || p.ETag == "" {
				t.Fatalf("%+v", p)
			}
		}
	})
}

func FuzzCORSXML(f *testing.F) {
	f.Add([]byte("<CORSConfiguration><CORSRule><ID>a</ID><AllowedOrigin>https://*.example</AllowedOrigin>" +
		"<AllowedMethod>GET</AllowedMethod><AllowedHeader>*</AllowedHeader>" +
		"<ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>600</MaxAgeSeconds></CORSRule></CORSConfiguration>"))
	f.Add([]byte("<CORSConfiguration><CORSRule><MaxAgeSeconds>x</MaxAgeSeconds></CORSRule>" +
		"</CORSConfiguration>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		rules, err := parseCORS(b)
		if err != nil {
			f := classify(err, true)
			if f.status >= 500 && f.name != "NotImplemented" || len(f.text()) > 4096 {
				t.Fatalf("%q: %v", b, err)
			}
			return
		}
		if err := rules.Check(); err != nil {
			t.Fatalf("%q is let in: %v", b, err)
		}
		var d doc
		d.cors(rules)
		again, err := parseCORS(d.b)
		if err != nil || !reflect.DeepEqual(rules, again) {
			t.Fatalf("%+v came back as %+v, %v", rules, again, err)
		}
	})
}

func FuzzRoute(f *testing.F) {
	f.Add("GET", "/bucket/key?partNumber=1", "s3.example.org", "x-amz-acl")
	f.Add("PUT", "/bucket/a%2fb?uploadId=1&partNumber=2", "bucket.s3.example.org:80", "If-Match")
	f.Add("DELETE", "/bucket?acl", "[::1]", "Range")
	f.Add("POST", "*", "", "")
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, method, target, host, header string) {
		r := httptest.NewRequest("GET", "http://x/", nil)
		r.Method, r.RequestURI, r.Host = method, target, host
		r.Body = io.NopCloser(strings.NewReader(""))
		if header != "" {
			r.Header.Set(header, "1")
		}
		c := &call{h: w.h, http: r, w: httptest.NewRecorder()}
		c.path, c.query = requestLine(r)
		if err := c.route(); err == nil && method != "OPTIONS" && c.choose() == nil {
			if c.op == nil || c.op.method != method || c.op.at != c.at {
				t.Fatalf("%s %s: %+v", method, target, c.op)
			}
			if c.at != atService && bucket.CheckName(c.bucketName) != nil || c.at == atObject &&
				checkKey(string(c.key)) != nil {
				t.Fatalf("%s: bucket %q, key %q", target, c.bucketName, c.key)
			}
			if err := c.checkTables(); err == nil && c.op.writes &&
				strings.HasPrefix(http.CanonicalHeaderKey(header), "X-Amz-") &&
				headerIndex.find(http.CanonicalHeaderKey(header), c.opID) == nil {
				t.Fatalf("%s %s: the unknown header %q went through", method, target, header)
			}
		}
		if resp := w.serve(r); resp.StatusCode < 400 {
			t.Fatalf("%s %s without a signature: %d", method, target, resp.StatusCode)
		}
	})
}
