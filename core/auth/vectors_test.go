package auth

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// The examples of the S3 API reference ("Signature Calculations for the Authorization Header" and the pages
// around it) with the key, secret and date that all of them use.
const (
	docKey    = KeyID("AKIAIOSFODNN7EXAMPLE")
	docSecret = Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
	docHost   = "examplebucket.s3.amazonaws.com"
	docStamp  = "20130524T000000Z"
)

var docTime = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)

func docLookup(id KeyID) (Secret, error) {
	if id != docKey {
		return "", ErrUnknownKey
	}
	return docSecret, nil
}

func docVerifier() *Verifier { return &Verifier{Region: "us-east-1", Service: "s3"} }

func docSigner() *Signer {
	return &Signer{Key: docKey, Secret: docSecret, Region: "us-east-1", Service: "s3"}
}

// docAuth writes an Authorization header of the examples.
func docAuth(signed, signature string) string {
	return "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request," +
		"SignedHeaders=" + signed + ",Signature=" + signature
}

func TestDocumentedHeaderExamples(t *testing.T) {
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	cases := []struct {
		name, method, path, query, hash, signed, signature string
		extra                                              map[string]string
	}{
		{
			name: "GET object", method: "GET", path: "/test.txt", hash: empty,
			signed:    "host;range;x-amz-content-sha256;x-amz-date",
			signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
			extra:     map[string]string{"Range": "bytes=0-9"},
		},
		{
			name: "PUT object", method: "PUT", path: "/test%24file.text",
			hash:      "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
			signed:    "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
			signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
			extra: map[string]string{
				"Date": "Fri, 24 May 2013 00:00:00 GMT", "X-Amz-Storage-Class": "REDUCED_REDUNDANCY",
			},
		},
		{
			name: "GET bucket lifecycle", method: "GET", path: "/", query: "lifecycle", hash: empty,
			signed:    "host;x-amz-content-sha256;x-amz-date",
			signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
		},
		{
			name: "list objects", method: "GET", path: "/", query: "max-keys=2&prefix=J", hash: empty,
			signed:    "host;x-amz-content-sha256;x-amz-date",
			signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := &Request{Method: c.method, Path: c.path, Query: c.query, Host: docHost,
				Header: map[string][]string{}}
			for name, value := range c.extra {
				r.Header[name] = []string{value}
			}
			if _, err := docSigner().Sign(r, docTime, c.hash); err != nil {
				t.Fatal(err)
			}
			want := docAuth(c.signed, c.signature)
			if got := strings.ReplaceAll(r.Header["Authorization"][0], ", ", ","); got != want {
				t.Errorf("signed\n got %s\nwant %s", got, want)
			}
			r.Header["Authorization"] = []string{want}
			v, err := docVerifier().Verify(r, docTime, docLookup)
			if err != nil {
				t.Fatal(err)
			}
			if v.Key != docKey || v.Mechanism != ByHeader || v.Payload.Mode != Hashed ||
				!v.At.Equal(docTime) {
				t.Errorf("verified as %+v", v)
			}
		})
	}
}

func TestDocumentedPresignedExample(t *testing.T) {
	const signature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
	r := &Request{Method: "GET", Path: "/test.txt", Host: docHost, Header: map[string][]string{}}
	query, err := docSigner().Presign(r, docTime, 24*time.Hour)
	if err != nil || !strings.HasSuffix(query, "&X-Amz-Signature="+signature) {
		t.Fatalf("presigned %s, %v", query, err)
	}
	r.Query = "X-Amz-Algorithm=AWS4-HMAC-SHA256" +
		"&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3" +
		"%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host" +
		"&X-Amz-Signature=" + signature
	v, err := docVerifier().Verify(r, docTime.Add(24*time.Hour), docLookup)
	if err != nil || v.Mechanism != ByQuery || v.Payload.Mode != Unsigned {
		t.Fatalf("verified as %+v, %v", v, err)
	}
	if _, err = docVerifier().Verify(r, docTime.Add(24*time.Hour+1), docLookup); !errors.Is(err, ErrExpired) {
		t.Fatalf("one nanosecond after the end: %v", err)
	}
}

// chunkedExample returns the request and the body of the chunked examples: 66560 letters in chunks of 64 KiB.
func chunkedExample(mode Mode, signed, seed string, chunks [3]string, tail string) (*Request, string) {
	r := &Request{
		Method: "PUT", Path: "/examplebucket/chunkObject.txt", Host: "s3.amazonaws.com", ContentLength: 66824,
		Header: map[string][]string{
			"X-Amz-Date":                   {docStamp},
			"X-Amz-Storage-Class":          {"REDUCED_REDUNDANCY"},
			"X-Amz-Content-Sha256":         {modeNames[mode]},
			"Content-Encoding":             {"aws-chunked"},
			"X-Amz-Decoded-Content-Length": {"66560"},
			"Authorization":                {docAuth(signed, seed)},
		},
	}
	if mode.trailed() {
		r.Header["X-Amz-Trailer"] = []string{"x-amz-checksum-crc32c"}
	}
	var b strings.Builder
	b.WriteString("10000;chunk-signature=" + chunks[0] + "\r\n" + strings.Repeat("a", 65536) + "\r\n")
	b.WriteString("400;chunk-signature=" + chunks[1] + "\r\n" + strings.Repeat("a", 1024) + "\r\n")
	b.WriteString("0;chunk-signature=" + chunks[2] + "\r\n" + tail)
	return r, b.String()
}

// verifyBody verifies a request and reads its body to the end.
func verifyBody(t *testing.T, r *Request, body io.Reader, now time.Time) ([]byte, Sums, error) {
	t.Helper()
	v, err := docVerifier().Verify(r, now, docLookup)
	if err != nil {
		return nil, Sums{}, err
	}
	spec, err := NewBodySpec(r, v.Payload)
	if err != nil {
		return nil, Sums{}, err
	}
	b := NewBody(body, v.Payload, spec)
	content, err := io.ReadAll(b)
	return content, b.Sums(), err
}

func TestDocumentedChunkedExample(t *testing.T) {
	r, body := chunkedExample(SignedChunks,
		"content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;"+
			"x-amz-storage-class",
		"4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9", [3]string{
			"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
			"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
			"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
		}, "\r\n")
	if len(body) != 66824 {
		t.Fatalf("the example has 66824 bytes, this %d", len(body))
	}
	content, sums, err := verifyBody(t, r, strings.NewReader(body), docTime)
	if err != nil || !bytes.Equal(content, bytes.Repeat([]byte("a"), 66560)) || sums.Size != 66560 {
		t.Fatalf("%d bytes, %v", len(content), err)
	}
	body = strings.Replace(body, "aaaa\r\n0;", "aaab\r\n0;", 1)
	if _, _, err = verifyBody(t, r, strings.NewReader(body), docTime); !errors.Is(err, ErrChunkSignature) {
		t.Fatalf("a changed chunk: %v", err)
	}
}

func TestDocumentedTrailerExample(t *testing.T) {
	for name, tail := range map[string]string{
		"as documented": "x-amz-checksum-crc32c:sOO8/Q==\n\r\nx-amz-trailer-signature:" +
			"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
		"as SDKs write it": "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:" +
			"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r, body := chunkedExample(SignedChunksTrailer,
				"content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;"+
					"x-amz-storage-class;x-amz-trailer",
				"106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e", [3]string{
					"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
					"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
					"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
				}, tail)
			_, sums, err := verifyBody(t, r, strings.NewReader(body), docTime)
			if err != nil || sums.Checksum.String() != "sOO8/Q==" {
				t.Fatalf("%v, %v", sums.Checksum, err)
			}
		})
	}
}
