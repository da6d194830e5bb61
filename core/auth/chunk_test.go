package auth

import (
	"bytes"
	"crypto/md5"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// chunked is a body in the aws-chunked encoding and the promise that it keeps.
type chunked struct {
	mode     Mode
	payload  Payload
	declared []string
	decoded  int
	wire     []byte
}

// newPayload returns the promise of a signed request, and the signer of its chunks.
func newPayload(t testing.TB, mode Mode) (Payload, *ChunkSigner) {
	r := &Request{Method: "PUT", Path: "/b/k", Host: docHost, Header: map[string][]string{}}
	s, err := docSigner().Sign(r, docTime, modeNames[mode])
	if err != nil {
		t.Fatal(err)
	}
	v, err := docVerifier().Verify(r, docTime, docLookup)
	if err != nil {
		t.Fatal(err)
	}
	return v.Payload, s
}

// newChunked encodes chunks; a trailed mode carries a checksum.
func newChunked(t testing.TB, mode Mode, chunks ...string) chunked {
	p, s := newPayload(t, mode)
	c := chunked{mode: mode, payload: p}
	h := NewHasher(HasherOptions{Algorithm: CRC32})
	for _, data := range chunks {
		c.wire = s.AppendChunk(c.wire, []byte(data))
		h.Write([]byte(data))
		c.decoded += len(data)
	}
	var fields []TrailerField
	if mode.trailed() {
		c.declared = []string{"x-amz-checksum-crc32"}
		fields = []TrailerField{{"x-amz-checksum-crc32", h.Sums().Checksum.String()}}
	}
	c.wire = s.AppendEnd(c.wire, mode.trailed(), fields)
	return c
}

// spec describes the body as the headers would.
func (c chunked) spec() BodySpec {
	s := BodySpec{Length: int64(c.decoded)}
	if c.mode.trailed() {
		s.Checksum.Algorithm, s.InTrailer = CRC32, true
	}
	return s
}

// read decodes a body.
func (c chunked) read(src io.Reader) ([]byte, error) {
	return io.ReadAll(NewBody(src, c.payload, c.spec()))
}

var chunkModes = []Mode{SignedChunks, SignedChunksTrailer, UnsignedTrailer}

func TestChunkedBodiesDecodeInAnyPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mode := rapid.SampledFrom(chunkModes).Draw(t, "mode")
		chunks := rapid.SliceOfN(rapid.StringN(1, 40, -1), 0, 4).Draw(t, "chunks")
		c := newChunked(testingTB{}, mode, chunks...)
		body := NewBody(&pieces{c.wire, func() int { return rapid.IntRange(1, 50).Draw(t, "piece") }},
			c.payload, c.spec())
		var got []byte
		var err error
		for err == nil {
			p := make([]byte, rapid.IntRange(1, 60).Draw(t, "buffer"))
			var n int
			n, err = body.Read(p)
			got = append(got, p[:n]...)
		}
		if err != io.EOF || string(got) != strings.Join(chunks, "") {
			t.Fatalf("%q, %v", got, err)
		}
		if want := md5.Sum(got); body.Sums().MD5 != want || body.Sums().Size != int64(len(got)) {
			t.Fatalf("sums %+v", body.Sums())
		}
	})
}

// testingTB lets helpers fail where only a panic is at hand.
type testingTB struct{ testing.TB }

func (testingTB) Fatal(args ...any) { panic(args) }
func (testingTB) Helper()           {}

// pieces reads a wire in pieces of drawn sizes.
type pieces struct {
	wire []byte
	size func() int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.wire) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.size())], p.wire)
	p.wire = p.wire[n:]
	return n, nil
}

func TestTruncatedChunkedBodies(t *testing.T) {
	for _, mode := range chunkModes {
		c := newChunked(t, mode, "hello, ", "world")
		for n := range c.wire {
			_, err := c.read(bytes.NewReader(c.wire[:n]))
			if !errors.Is(err, ErrIncompleteBody) {
				t.Fatalf("%s cut to %d of %d bytes: %v", modeNames[mode], n, len(c.wire), err)
			}
		}
	}
}

func TestFlippedBitsAreNoticed(t *testing.T) {
	for _, mode := range chunkModes {
		c := newChunked(t, mode, "hello, ", "world")
		for i := range c.wire {
			for _, flip := range []byte{0x01, 0x02, 0x80} {
				wire := bytes.Clone(c.wire)
				wire[i] ^= flip
				got, err := c.read(bytes.NewReader(wire))
				if err == nil && string(got) != "hello, world" {
					t.Fatalf("%s: %q for byte %d ^ %#x", modeNames[mode], got, i, flip)
				}
				var e *Error
				if err != nil && (!errors.As(err, &e) || e.Code() == "InternalError") {
					t.Fatalf("%s: byte %d ^ %#x: %v", modeNames[mode], i, flip, err)
				}
			}
		}
	}
}

func TestBadChunks(t *testing.T) {
	signature := func(c *chunked) string {
		i := bytes.Index(c.wire, []byte("chunk-signature="))
		return string(c.wire[i : i+16+64])
	}
	replace := func(old, new string) func(*chunked) {
		return func(c *chunked) {
			if !bytes.Contains(c.wire, []byte(old)) {
				panic("no " + old)
			}
			c.wire = bytes.Replace(c.wire, []byte(old), []byte(new), 1)
		}
	}
	cases := []struct {
		name  string
		mode  Mode
		spoil func(*chunked)
		kind  Kind
	}{
		{"data changed", SignedChunks, replace("hello", "hallo"), ErrChunkSignature},
		{"chunks swapped", SignedChunks, func(c *chunked) { swap(c) }, ErrChunkSignature},
		{"last chunk's signature", SignedChunks, func(c *chunked) {
			i := bytes.LastIndex(c.wire, []byte("chunk-signature="))
			copy(c.wire[i+16:], "00000000")
		}, ErrChunkSignature},
		{"signature missing", SignedChunks, func(c *chunked) { replace(";"+signature(c), "")(c) },
			ErrMalformedChunk},
		{"signature short", SignedChunks, func(c *chunked) { s := signature(c); replace(s, s[:70])(c) },
			ErrMalformedChunk},
		{"other extension", SignedChunks, replace(";chunk-signature=", ";chunk-checksum=x"),
			ErrMalformedChunk},
		{"signature not asked for", UnsignedTrailer, replace("7\r\n",
			"7;chunk-signature="+emptySHA256+"\r\n"),
			ErrMalformedChunk},
		{"extension", UnsignedTrailer, replace("7\r\n", "7;a=b\r\n"), ErrMalformedChunk},
		{"no digits", UnsignedTrailer, replace("7\r\n", "\r\n"), ErrMalformedChunk},
		{"bad digit", UnsignedTrailer, replace("7\r\n", "g\r\n"), ErrMalformedChunk},
		{"sign", UnsignedTrailer, replace("7\r\n", "-7\r\n"), ErrMalformedChunk},
		{"blank", UnsignedTrailer, replace("7\r\n", " 7\r\n"), ErrMalformedChunk},
		{"size overflow", UnsignedTrailer, replace("7\r\n", "ffffffffffffffff\r\n"), ErrMalformedChunk},
		{"many digits", UnsignedTrailer, replace("7\r\n", "00000000000000007\r\n"), ErrMalformedChunk},
		{"long line", UnsignedTrailer, replace("7\r\n", strings.Repeat("0", 200)+"\r\n"), ErrMalformedChunk},
		{"LF alone", UnsignedTrailer, replace("7\r\n", "7\n"), ErrMalformedChunk},
		{"larger than announced", UnsignedTrailer, replace("7\r\n", "d\r\n"), ErrBodyTooLong},
		{"huge chunk", UnsignedTrailer, replace("7\r\n", "7fffffffffffffff\r\n"), ErrBodyTooLong},
		{"data longer than the size", UnsignedTrailer, replace("hello", "hellooo"), ErrMalformedChunk},
		{"data shorter than the size", UnsignedTrailer, replace("hello", "hel"), ErrMalformedChunk},
		{"shorter than announced", UnsignedTrailer, func(c *chunked) { c.decoded++ }, ErrIncompleteBody},
		{"shorter than announced, signed", SignedChunks, func(c *chunked) { c.decoded++ }, ErrIncompleteBody},
		{"bytes behind", SignedChunks, func(c *chunked) { c.wire = append(c.wire, 'x') }, ErrMalformedChunk},
		{"an empty line behind", SignedChunks, func(c *chunked) { c.wire = append(c.wire, "\r\n"...) },
			ErrMalformedChunk},
		{"a line behind", UnsignedTrailer, func(c *chunked) { c.wire = append(c.wire, "abc"...) },
			ErrMalformedChunk},
		{"trailer where none is", SignedChunks, func(c *chunked) {
			c.wire = append(c.wire[:len(c.wire)-2], "x-amz-checksum-crc32:AAAAAA==\r\n\r\n"...)
		}, ErrMalformedChunk},
		{"trailer signature", SignedChunksTrailer, replace("x-amz-checksum-crc32:", "x-amz-checksum-crc32:A"),
			ErrTrailerSignature},
		{"trailer unsigned", SignedChunksTrailer, func(c *chunked) {
			i := bytes.Index(c.wire, []byte("x-amz-trailer-signature"))
			c.wire = append(c.wire[:i], "\r\n\r\n"...)
		}, ErrTrailerSignature},
		{"trailer signature malformed", SignedChunksTrailer, replace("trailer-signature:",
			"trailer-signature:x"),
			ErrMalformedTrailer},
		{"field behind the signature", SignedChunksTrailer, func(c *chunked) {
			c.wire = append(c.wire[:len(c.wire)-2], "a:b\r\n\r\n"...)
		}, ErrMalformedTrailer},
		{"trailer without colon", UnsignedTrailer, replace("crc32:", "crc32="), ErrMalformedTrailer},
		{"other trailer", UnsignedTrailer, replace("crc32:", "crc32c:"), ErrMalformedTrailer},
		{"trailer missing", UnsignedTrailer, func(c *chunked) {
			i := bytes.Index(c.wire, []byte("x-amz-checksum"))
			c.wire = append(c.wire[:i], "\r\n"...)
		}, ErrMalformedTrailer},
		{"trailer field too many", UnsignedTrailer, replace("x-amz-checksum", "a:b\r\nx-amz-checksum"),
			ErrMalformedTrailer},
		{"many fields", UnsignedTrailer, replace("x-amz-checksum", strings.Repeat("a:b\r\n",
			9)+"x-amz-checksum"),
			ErrMalformedTrailer},
		{"long field", UnsignedTrailer, replace("x-amz-checksum", strings.Repeat("a", 600)),
			ErrMalformedTrailer},
		{"trailer value", UnsignedTrailer, replace("==\r\n", "=\r\n"), ErrMalformedChecksum},
		{"trailer mismatch", UnsignedTrailer, replace("hello", "hallo"), ErrChecksumMismatch},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			body := newChunked(t, c.mode, "hello, ", "world")
			c.spoil(&body)
			_, whole := body.read(bytes.NewReader(body.wire))
			_, bytewise := body.read(iotest.OneByteReader(bytes.NewReader(body.wire)))
			if !errors.Is(whole, c.kind) || !errors.Is(bytewise, c.kind) {
				t.Fatalf("got %v, bytewise %v, want %q", whole, bytewise, c.kind)
			}
		})
	}
}

// swap exchanges the first two chunks, framing and all.
func swap(c *chunked) {
	second := bytes.Index(c.wire, []byte("5;chunk"))
	third := bytes.Index(c.wire, []byte("0;chunk-signature"))
	third = max(third, bytes.LastIndex(c.wire, []byte("\r\n0;chunk"))+2)
	wire := bytes.Clone(c.wire[second:third])
	wire = append(wire, c.wire[:second]...)
	c.wire = append(wire, c.wire[third:]...)
}

func TestUnsignedTrailerMayEndWithOneMoreLine(t *testing.T) {
	c := newChunked(t, UnsignedTrailer, "hello")
	if _, err := c.read(strings.NewReader(string(c.wire) + "\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.read(strings.NewReader(string(c.wire) + "\r\n\r\n")); !errors.Is(err, ErrMalformedChunk) {
		t.Fatalf("two lines: %v", err)
	}
}
