package auth

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

// newReader buffers a string for http.ReadRequest.
func newReader(s string) *bufio.Reader { return bufio.NewReader(strings.NewReader(s)) }

func TestBodyErrorIsFinal(t *testing.T) {
	c := newChunked(t, SignedChunks, "hello")
	c.wire[len(c.wire)/3] ^= 1
	b := NewBody(bytes.NewReader(c.wire), c.payload, c.spec())
	_, first := io.ReadAll(b)
	n, second := b.Read(make([]byte, 10))
	if first == nil || n != 0 || second != first || b.Sums() != (Sums{}) {
		t.Fatalf("first %v, then %d, %v, %+v", first, n, second, b.Sums())
	}
}

func TestOnePayloadManyBodies(t *testing.T) {
	c := newChunked(t, SignedChunks, "hello")
	for range 2 {
		if _, err := c.read(bytes.NewReader(c.wire)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPlainBodies(t *testing.T) {
	const content = "Welcome to Amazon S3."
	raw, _ := hex.DecodeString("44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072")
	good := Payload{Mode: Hashed, SHA256: [32]byte(raw)}
	sum := md5.Sum([]byte(content))
	crc := Checksum{Algorithm: CRC32}
	broken := errors.New("broken pipe")
	cases := []struct {
		name    string
		src     io.Reader
		payload Payload
		spec    BodySpec
		want    error
	}{
		{"good", strings.NewReader(content), good, BodySpec{Length: 21, MD5: sum, HasMD5: true}, nil},
		{"length unknown", strings.NewReader(content), good, BodySpec{Length: -1}, nil},
		{"MD5 not for the ETag", strings.NewReader(content), good, BodySpec{Length: 21, MD5: sum,
			HasMD5: true, SkipMD5: true}, nil},
		{"hash", strings.NewReader("welcome to Amazon S3."), good, BodySpec{Length: 21},
			ErrContentSHA256Mismatch},
		{"MD5", strings.NewReader(content), good, BodySpec{Length: 21, HasMD5: true}, ErrMD5Mismatch},
		{"zero checksum", strings.NewReader(content), good, BodySpec{Length: 21, Checksum: crc,
			HasChecksum: true},
			ErrChecksumMismatch},
		{"checksum only computed", strings.NewReader(content), good, BodySpec{Length: 21, Checksum: crc},
			nil},
		{"short", strings.NewReader(content), good, BodySpec{Length: 22}, ErrIncompleteBody},
		{"long", strings.NewReader(content), good, BodySpec{Length: 20}, ErrBodyTooLong},
		{"cut", iotest.DataErrReader(io.MultiReader(strings.NewReader("Wel"),
			iotest.ErrReader(io.ErrUnexpectedEOF))), good,
			BodySpec{Length: 21}, ErrIncompleteBody},
		{"source fails", iotest.ErrReader(broken), good, BodySpec{Length: 21}, broken},
		{"source stalls", stalled{}, good, BodySpec{Length: 21}, io.ErrNoProgress},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := NewBody(c.src, c.payload, c.spec)
			_, err := io.ReadAll(b)
			if c.want == nil && err != nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err == nil && b.Sums().SHA256 != good.SHA256 {
				t.Errorf("sums %+v", b.Sums())
			}
		})
	}
}

// stalled returns nothing for ever.
type stalled struct{}

func (stalled) Read([]byte) (int, error) { return 0, nil }

func TestBodySpec(t *testing.T) {
	sum := md5.Sum([]byte("x"))
	b64 := base64.StdEncoding.EncodeToString(sum[:])
	cases := []struct {
		name   string
		mode   Mode
		header map[string][]string
		kind   Kind
		code   string
	}{
		{"nothing", Unsigned, nil, 0, ""},
		{"MD5", Unsigned, map[string][]string{"Content-Md5": {b64}}, 0, ""},
		{"MD5 short", Unsigned, map[string][]string{"Content-Md5": {b64[4:]}}, ErrMalformedMD5,
			"InvalidDigest"},
		{"MD5 empty", Unsigned, map[string][]string{"Content-Md5": {""}}, ErrMalformedMD5, "InvalidDigest"},
		{"MD5 twice", Unsigned, map[string][]string{"Content-Md5": {b64, b64}}, ErrMalformedMD5,
			"InvalidDigest"},
		{"checksum", Unsigned, map[string][]string{"X-Amz-Checksum-Crc32": {"AAAAAA=="}}, 0, ""},
		{"checksum and its name", Unsigned, map[string][]string{
			"X-Amz-Checksum-Crc32": {"AAAAAA=="}, "X-Amz-Sdk-Checksum-Algorithm": {"CRC32"},
			"X-Amz-Checksum-Algorithm": {"CRC32"}, "X-Amz-Checksum-Type": {"FULL_OBJECT"},
		}, 0, ""},
		{"checksum size", Unsigned, map[string][]string{"X-Amz-Checksum-Crc32": {"AAAA"}},
			ErrMalformedChecksum,
			"InvalidRequest"},
		{"checksum digits", Unsigned, map[string][]string{"X-Amz-Checksum-Crc32": {"AAA*AA=="}},
			ErrMalformedChecksum,
			"InvalidRequest"},
		{"checksum loose bits", Unsigned, map[string][]string{"X-Amz-Checksum-Crc32": {"AAAAAB=="}},
			ErrMalformedChecksum, "InvalidRequest"},
		{"checksum line ends", Unsigned, map[string][]string{"X-Amz-Checksum-Crc32": {"AAA\nA\n=="}},
			ErrMalformedChecksum, "InvalidRequest"},
		{"two checksums", Unsigned, map[string][]string{
			"X-Amz-Checksum-Crc32": {"AAAAAA=="}, "X-Amz-Checksum-Crc32c": {"AAAAAA=="},
		}, ErrMalformedChecksum, "InvalidRequest"},
		{"unknown checksum", Unsigned, map[string][]string{"X-Amz-Checksum-Md9": {"AAAAAA=="}},
			ErrUnknownAlgorithm,
			"InvalidRequest"},
		{"named, not sent", Unsigned, map[string][]string{"X-Amz-Sdk-Checksum-Algorithm": {"CRC32"}},
			ErrMalformedChecksum, "InvalidRequest"},
		{"named another", Unsigned, map[string][]string{
			"X-Amz-Checksum-Crc32": {"AAAAAA=="}, "X-Amz-Sdk-Checksum-Algorithm": {"SHA1"},
		}, ErrMalformedChecksum, "InvalidRequest"},
		{"named unknown", Unsigned, map[string][]string{"X-Amz-Sdk-Checksum-Algorithm": {"CRC9"}},
			ErrUnknownAlgorithm, "InvalidRequest"},
		{"trailer", UnsignedTrailer, map[string][]string{
			"X-Amz-Trailer": {"x-amz-checksum-crc64nvme"}, "X-Amz-Sdk-Checksum-Algorithm": {"CRC64NVME"},
			"X-Amz-Decoded-Content-Length": {"3"},
		}, 0, ""},
		{"trailer without a name", UnsignedTrailer,
			map[string][]string{"X-Amz-Decoded-Content-Length": {"3"}}, 0, ""},
		{"no length", SignedChunks, nil, ErrMissingDecodedLength, "MissingContentLength"},
		{"bad length", SignedChunks, map[string][]string{"X-Amz-Decoded-Content-Length": {"-3"}},
			ErrMalformedLength,
			"InvalidArgument"},
		{"huge length", SignedChunks,
			map[string][]string{"X-Amz-Decoded-Content-Length": {"9223372036854775808"}},
			ErrMalformedLength, "InvalidArgument"},
		{"trailer where none is", SignedChunks, map[string][]string{
			"X-Amz-Trailer": {"x-amz-checksum-crc32"}, "X-Amz-Decoded-Content-Length": {"3"},
		}, ErrMalformedTrailer, "MalformedTrailerError"},
		{"other trailer", UnsignedTrailer, map[string][]string{
			"X-Amz-Trailer": {"x-amz-meta-a"}, "X-Amz-Decoded-Content-Length": {"3"},
		}, ErrMalformedTrailer, "MalformedTrailerError"},
		{"header and trailer", UnsignedTrailer, map[string][]string{
			"X-Amz-Trailer": {"x-amz-checksum-crc32"}, "X-Amz-Decoded-Content-Length": {"3"},
			"X-Amz-Checksum-Crc32": {"AAAAAA=="},
		}, ErrMalformedChecksum, "InvalidRequest"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := NewBodySpec(&Request{Header: c.header, ContentLength: 9}, Payload{Mode: c.mode})
			var e *Error
			if c.kind == 0 {
				want := int64(9)
				if c.mode.Chunked() {
					want, _ = strconv.ParseInt(c.header["X-Amz-Decoded-Content-Length"][0], 10, 64)
				}
				if err != nil || s.Length != want {
					t.Fatalf("%+v, %v", s, err)
				}
				return
			}
			if !errors.Is(err, c.kind) || !errors.As(err, &e) || e.Code() != c.code {
				t.Fatalf("got %v, want %q", err, c.kind)
			}
		})
	}
}

func TestStripChunked(t *testing.T) {
	for in, want := range map[string]string{
		"aws-chunked": "", "aws-chunked,gzip": "gzip", "gzip, AWS-Chunked": "gzip",
		"gzip, br": "gzip,br", "": "",
	} {
		if got := StripChunked(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
