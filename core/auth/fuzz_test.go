package auth

import (
	"bytes"
	"encoding/base64"
	"errors"
	"testing"
	"testing/iotest"
)

// wantRefusal fails unless err is an *Error with a kind of its own.
func wantRefusal(t *testing.T, err error) {
	var e *Error
	if err != nil && (!errors.As(err, &e) || e.Kind == 0 || int(e.Kind) >= len(kinds) || e.Code() == "") {
		t.Fatalf("%T: %v", err, err)
	}
}

func FuzzChunkReader(f *testing.F) {
	for _, mode := range chunkModes {
		c := newChunked(f, mode, "hello, ", "world")
		f.Add(uint8(mode), int64(c.decoded), c.wire)
	}
	f.Add(uint8(UnsignedTrailer), int64(5),
		[]byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\n\r\n\r\n"))
	payloads := map[Mode]Payload{}
	for _, mode := range chunkModes {
		payloads[mode], _ = newPayload(f, mode)
	}
	f.Fuzz(func(t *testing.T, mode uint8, decoded int64, wire []byte) {
		p, ok := payloads[Mode(mode)]
		if !ok || decoded < 0 {
			return
		}
		c := chunked{mode: p.Mode, payload: p, decoded: int(decoded)}
		whole, err1 := c.read(bytes.NewReader(wire))
		bytewise, err2 := c.read(iotest.OneByteReader(bytes.NewReader(wire)))
		wantRefusal(t, err1)
		wantRefusal(t, err2)
		if (err1 == nil) != (err2 == nil) || err1 == nil && !bytes.Equal(whole, bytewise) {
			t.Fatalf("at once %q, %v; bytewise %q, %v", whole, err1, bytewise, err2)
		}
		if err1 == nil && len(whole) != int(decoded) {
			t.Fatalf("%d bytes, announced %d", len(whole), decoded)
		}
	})
}

func FuzzAuthorization(f *testing.F) {
	f.Add(docAuth("host;x-amz-content-sha256;x-amz-date", emptySHA256))
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/d/e/aws4_request, SignedHeaders=host, Signature=")
	f.Add("AWS a:b")
	f.Add(signed(f).Header["Authorization"][0])
	f.Fuzz(func(t *testing.T, value string) {
		r := signed(t)
		good := r.Header["Authorization"][0]
		r.Header["Authorization"] = []string{value}
		v, err := docVerifier().Verify(r, docTime, docLookup)
		wantRefusal(t, err)
		if err == nil && value != good {
			a, _ := parseAuthorization(value)
			b, _ := parseAuthorization(good)
			if a.signature != b.signature || v.Key != docKey {
				t.Fatalf("%q verifies", value)
			}
		}
	})
}

func FuzzPresigned(f *testing.F) {
	good := presigned(f).Query
	f.Add(good)
	f.Add("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=%zz")
	f.Add("AWSAccessKeyId=a&Signature=b&Expires=1")
	f.Add("a=b&&=c&d")
	f.Fuzz(func(t *testing.T, query string) {
		r := presigned(t)
		r.Query = query
		v, err := docVerifier().Verify(r, docTime, docLookup)
		wantRefusal(t, err)
		if err != nil || v.Mechanism == Anonymous {
			return
		}
		got, err1 := parseQuery(query)
		want, err2 := parseQuery(good)
		if err1 != nil || err2 != nil || string(appendQuery(nil, got)) != string(appendQuery(nil, want)) {
			t.Fatalf("%q verifies", query)
		}
	})
}

func FuzzPolicy(f *testing.F) {
	f.Add(postPolicy)
	f.Add(`{"expiration":"2015-12-30T12:00:00Z","conditions":[["content-length-range",0,1]]}`)
	f.Add(`{"expiration":"","conditions":[[[[[]]]]]}`)
	f.Fuzz(func(t *testing.T, policy string) {
		p, err := ParsePolicy(base64.StdEncoding.EncodeToString([]byte(policy)))
		wantRefusal(t, err)
		if err == nil {
			wantRefusal(t, p.Check(postForm(policy), "sigv4examplebucket", "k", postTime))
			wantRefusal(t, p.CheckSize(0))
			_, err = post(postForm(policy), postTime)
			wantRefusal(t, err)
		}
	})
}

func FuzzChecksum(f *testing.F) {
	f.Add(uint8(CRC32), "AAAAAA==")
	f.Add(uint8(SHA256), "")
	f.Fuzz(func(t *testing.T, a uint8, text string) {
		sum, err := ParseChecksum(Algorithm(a), text)
		wantRefusal(t, err)
		if err == nil && sum.String() != text {
			t.Fatalf("%q comes back as %q", text, sum)
		}
	})
}
