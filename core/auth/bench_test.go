package auth

import (
	"bytes"
	"io"
	"testing"
	"time"
)

// benchRequest is a PUT as SDKs send it.
func benchRequest(b *testing.B) *Request {
	r := &Request{
		Method: "PUT", Path: "/bucket/folder/some%20object-0123456789.bin",
		Query: "partNumber=7&uploadId=abcdef012345",
		Host:  "localhost:3900", ContentLength: 4096,
		Header: map[string][]string{
			"User-Agent":                   {"aws-sdk-go-v2/1.30.0 os/linux lang/go md/GOOS#linux"},
			"Accept-Encoding":              {"identity"},
			"Content-Type":                 {"application/octet-stream"},
			"Amz-Sdk-Invocation-Id":        {"9f0c4c2e-6c3f-4b44-a7f1-1c1a1b1e4f9d"},
			"X-Amz-Checksum-Crc32":         {"AAAAAA=="},
			"X-Amz-Sdk-Checksum-Algorithm": {"CRC32"},
			"X-Amz-Meta-Owner":             {"somebody"},
		},
	}
	if _, err := docSigner().Sign(r, docTime, emptySHA256); err != nil {
		b.Fatal(err)
	}
	return r
}

func BenchmarkVerifyHeader(b *testing.B) {
	r, v := benchRequest(b), docVerifier()
	v.Lock = &countingLock{}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(r, docTime, docLookup); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyHeaderUncached(b *testing.B) {
	r, v := benchRequest(b), docVerifier()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(r, docTime, docLookup); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyPresigned(b *testing.B) {
	r, v := presigned(b), docVerifier()
	v.Lock = &countingLock{}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(r, docTime.Add(time.Minute), docLookup); err != nil {
			b.Fatal(err)
		}
	}
}

// benchBody reads 1 MiB in chunks of 64 KiB.
func benchBody(b *testing.B, mode Mode) {
	var chunks []string
	for range 16 {
		chunks = append(chunks, string(make([]byte, 64<<10)))
	}
	c := newChunked(b, mode, chunks...)
	spec := c.spec()
	spec.SkipMD5 = true
	p := make([]byte, 256<<10)
	b.SetBytes(int64(c.decoded))
	b.ReportAllocs()
	for b.Loop() {
		body := NewBody(bytes.NewReader(c.wire), c.payload, spec)
		var err error
		for err == nil {
			_, err = body.Read(p)
		}
		if err != io.EOF {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignedChunks(b *testing.B)    { benchBody(b, SignedChunks) }
func BenchmarkUnsignedTrailer(b *testing.B) { benchBody(b, UnsignedTrailer) }

func BenchmarkCombine(b *testing.B) {
	sum := sumOf(CRC64NVME, []byte("part"))
	for b.Loop() {
		if _, err := Combine(sum, sum, 5<<20); err != nil {
			b.Fatal(err)
		}
	}
}
