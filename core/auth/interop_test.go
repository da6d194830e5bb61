package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"
	"pgregory.net/rapid"
)

// fromHTTP is what the API layer does with a request: the path as it goes over the wire.
func fromHTTP(r *http.Request) *Request {
	return &Request{
		Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Host: r.Host, Header: r.Header,
		ContentLength: r.ContentLength,
	}
}

// shaHasher lends crypto/sha256 to the streaming signer.
type shaHasher struct{ hash.Hash }

func (shaHasher) Close() {}

// foreignURL draws a URL as minio-go's client would build it. Parameters have different, plain names:
// minio-go sorts them by name before escaping and leaves repeated ones in order, AWS sorts by escaped name,
// then value.
func foreignURL(t *rapid.T) string {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("aZ09-._~ +%=&?#:;,é\"'()*!$@[]")), 1, 12, -1)
	query := url.Values{}
	for i := range rapid.IntRange(0, 4).Draw(t, "params") {
		query.Add("param-"+string(rune('a'+i)), text.Draw(t, "value"))
	}
	u := "http://localhost:3900/bucket/" + EscapePath(text.Draw(t, "key")) + "/x?" + query.Encode()
	return u
}

func TestMinioHeaderSigner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		req, err := http.NewRequest("PUT", foreignURL(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		req.Header.Set("X-Amz-Meta-Name", "  a   b ")
		req.Header.Set("Content-Type", "text/plain")
		req = signer.SignV4(*req, string(docKey), string(docSecret), "", "us-east-1")
		if _, err := docVerifier().Verify(fromHTTP(req), time.Now(), docLookup); err != nil {
			t.Fatal(explain(err))
		}
		req.URL.Path, req.URL.RawPath = req.URL.Path+"y", ""
		if _, err := docVerifier().Verify(fromHTTP(req), time.Now(), docLookup); !errors.Is(err,
			ErrSignature) {
			t.Fatalf("another path: %v", err)
		}
	})
}

// explain adds the canonical request to an error.
func explain(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return err.Error() + "\n" + e.CanonicalRequest
	}
	return err.Error()
}

func TestMinioPresigner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		req, err := http.NewRequest("GET", foreignURL(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		req = signer.PreSignV4(*req, string(docKey), string(docSecret), "", "us-east-1", 60)
		if _, err := docVerifier().Verify(fromHTTP(req), time.Now(), docLookup); err != nil {
			t.Fatal(explain(err))
		}
		late := time.Now().Add(2 * time.Minute)
		if _, err := docVerifier().Verify(fromHTTP(req), late, docLookup); !errors.Is(err, ErrExpired) {
			t.Fatalf("after its end: %v", err)
		}
	})
}

func TestMinioAcceptsOurSignature(t *testing.T) {
	req, _ := http.NewRequest("GET", "http://localhost:3900/b/a%20b?prefix=x", nil)
	theirs := signer.SignV4(*req, string(docKey), string(docSecret), "", "us-east-1")
	at, _ := parseStamp(theirs.Header.Get("X-Amz-Date"))
	ours := &Request{
		Method: "GET", Path: "/b/a%20b", Query: "prefix=x", Host: "localhost:3900",
		Header: map[string][]string{},
	}
	c := docSigner().claim(at, modeNames[Unsigned])
	ours.Header["X-Amz-Date"] = []string{c.stamp}
	c.signed = []string{"host", "x-amz-date"}
	c.params, _ = parseQuery(ours.Query)
	if _, err := docSigner().seal(ours, &c); err != nil {
		t.Fatal(err)
	}
	if want := hex.EncodeToString(c.signature[:]); !strings.Contains(theirs.Header.Get("Authorization"),
		want) {
		t.Fatalf("we sign %s, they %s", want, theirs.Header.Get("Authorization"))
	}
}

// foreignBody returns content and its CRC32C in base64.
func foreignBody(size int) ([]byte, string) {
	content := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
	h := NewHasher(HasherOptions{Algorithm: CRC32C})
	h.Write(content)
	return content, h.Sums().Checksum.String()
}

func TestMinioStreamingSigners(t *testing.T) {
	sizes := []int{1, 1000, 65535, 65536, 65537, 200_000}
	modes := []Mode{SignedChunks, SignedChunksTrailer, UnsignedTrailer}
	for _, mode := range modes {
		for _, size := range sizes {
			content, sum := foreignBody(size)
			req, _ := http.NewRequest("PUT", "http://localhost:3900/b/k", bytes.NewReader(content))
			trailer := http.Header{"X-Amz-Checksum-Crc32c": {sum}}
			now := time.Now().UTC()
			switch mode {
			case SignedChunksTrailer:
				req.Trailer = trailer
				fallthrough
			case SignedChunks:
				req = signer.StreamingSignV4(req, string(docKey), string(docSecret), "", "us-east-1",
					int64(size), now,
					shaHasher{sha256.New()})
			case UnsignedTrailer:
				req.Header.Set("X-Amz-Content-Sha256", modeNames[UnsignedTrailer])
				req = signer.SignV4Trailer(*req, string(docKey), string(docSecret), "", "us-east-1", trailer)
			}
			got, sums, err := verifyBody(t, fromHTTP(req), req.Body, now)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s, %d bytes: got %d, %s", modeNames[mode], size, len(got), err)
			}
			if mode.trailed() && sums.Checksum.String() != sum {
				t.Errorf("%s, %d bytes: checksum %s, want %s", modeNames[mode], size, sums.Checksum, sum)
			}
			if sums.Checksum.Algorithm == CRC32C {
				raw := crc32.Checksum(content, castagnoli)
				if want := []byte{byte(raw >> 24), byte(raw >> 16), byte(raw >> 8), byte(raw)}; !bytes.Equal(
					sums.Checksum.Bytes(), want) {
					t.Errorf("the checksum is not big-endian")
				}
			}
		}
	}
}

func TestServerSideRequest(t *testing.T) {
	// What net/http parses from the wire verifies: Host, Content-Length and Expect are taken out of the
	// header there.
	r := &Request{
		Method: "PUT", Path: "/b/k%2Bx", Host: "localhost", ContentLength: 2, Header: map[string][]string{},
	}
	c := docSigner().claim(docTime, emptySHA256)
	r.Header["X-Amz-Date"] = []string{c.stamp}
	r.Header["X-Amz-Content-Sha256"] = []string{c.payload}
	r.Header["Expect"] = []string{"100-continue"}
	c.signed = []string{"content-length", "expect", "host", "x-amz-content-sha256", "x-amz-date"}
	if _, err := docSigner().seal(r, &c); err != nil {
		t.Fatal(err)
	}
	raw := "PUT /b/k%2Bx HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n" +
		"x-amz-date: " + c.stamp + "\r\nx-amz-content-sha256: " + c.payload + "\r\nAuthorization: " +
		docAuth(strings.Join(c.signed, ";"), hex.EncodeToString(c.signature[:])) + "\r\n\r\nhi"
	req, err := http.ReadRequest(newReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	v, err := docVerifier().Verify(fromHTTP(req), docTime, docLookup)
	if err != nil {
		t.Fatal(explain(err))
	}
	if _, err := io.ReadAll(NewBody(req.Body, v.Payload, BodySpec{Length: 2})); !errors.Is(err,
		ErrContentSHA256Mismatch) {
		t.Fatalf("a body that hashes to something else: %v", err)
	}
}
