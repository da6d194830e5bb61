package auth

import (
	"errors"
	"io"
	"strconv"
	"strings"
)

// BodySpec is what the headers of a request say about its body, besides the signature.
type BodySpec struct {
	// Length is the number of bytes of content, without chunk framing; -1 when it is not known.
	Length int64
	// MD5 is the value of Content-MD5 when HasMD5.
	MD5    [16]byte
	HasMD5 bool
	// Checksum is the expected checksum when HasChecksum. Otherwise it has only an Algorithm, because the
	// value comes in the trailer (InTrailer) or because the caller asks for a checksum that the client did
	// not send; zero computes none.
	Checksum    Checksum
	HasChecksum bool
	InTrailer   bool
	// SkipMD5 computes no MD5 unless HasMD5. ETags need it.
	SkipMD5 bool
}

// NewBodySpec reads the headers that describe the content: x-amz-decoded-content-length, Content-MD5,
// x-amz-trailer, x-amz-checksum-*, x-amz-sdk-checksum-algorithm.
//
// It is for requests whose body is content or a document; in requests that name the checksum of something
// else (CompleteMultipartUpload) use [HeaderChecksum] and an empty Checksum.
// Errors: ErrMissingDecodedLength, ErrMalformedLength, ErrMalformedMD5, ErrMalformedChecksum,
// ErrUnknownAlgorithm, ErrMalformedTrailer.
func NewBodySpec(r *Request, p Payload) (BodySpec, error) {
	s := BodySpec{Length: r.ContentLength}
	if err := s.takeLength(r, p.Mode); err != nil {
		return BodySpec{}, err
	}
	if value, n := r.header("Content-Md5"); n > 0 {
		if s.HasMD5 = true; n > 1 || !decodeBase64(s.MD5[:], value) {
			return BodySpec{}, refuseSum(ErrMalformedMD5, "Content-MD5", "give the base64 of 16 bytes, once")
		}
	}
	var err error
	if s.Checksum, err = HeaderChecksum(r.Header); err != nil {
		return BodySpec{}, err
	}
	s.HasChecksum = s.Checksum.Algorithm != NoAlgorithm
	if err := s.takeTrailer(r, p.Mode); err != nil {
		return BodySpec{}, err
	}
	return s, s.checkSDK(r)
}

// takeLength reads the length of the content of a chunked body.
func (s *BodySpec) takeLength(r *Request, mode Mode) error {
	if !mode.Chunked() {
		return nil
	}
	const name = "X-Amz-Decoded-Content-Length"
	value, n := r.header(name)
	if n == 0 {
		return refuseBody(ErrMissingDecodedLength, strings.ToLower(name), "chunked bodies need it")
	}
	length, err := strconv.ParseUint(value, 10, 63)
	if err != nil || n > 1 {
		return refuseBody(ErrMalformedLength, strings.ToLower(name), "give the bytes of content, once")
	}
	s.Length = int64(length)
	return nil
}

// takeTrailer reads which checksum the trailer will carry. No other fields are known in trailers.
func (s *BodySpec) takeTrailer(r *Request, mode Mode) error {
	value, n := r.header("X-Amz-Trailer")
	if n == 0 {
		return nil
	}
	a, ok := algorithmOfHeader(strings.TrimSpace(value))
	switch {
	case !mode.trailed():
		return refuseBody(ErrMalformedTrailer, "x-amz-trailer", "x-amz-content-sha256 announces no trailer")
	case n > 1 || !ok:
		return refuseBody(ErrMalformedTrailer, "x-amz-trailer", "name one x-amz-checksum-<algorithm>")
	case s.HasChecksum:
		return refuseSum(ErrMalformedChecksum, "x-amz-checksum-*", "send one, in a header or in the trailer")
	}
	s.Checksum.Algorithm, s.InTrailer = a, true
	return nil
}

// checkSDK compares x-amz-sdk-checksum-algorithm with the checksum that is sent.
func (s *BodySpec) checkSDK(r *Request) error {
	value, n := r.header("X-Amz-Sdk-Checksum-Algorithm")
	if n == 0 {
		return nil
	}
	a, err := ParseAlgorithm(value)
	if err != nil {
		return err
	}
	if n > 1 || a != s.Checksum.Algorithm && !(s.HasMD5 && s.Checksum.Algorithm == NoAlgorithm) {
		return refuseSum(ErrMalformedChecksum, "x-amz-sdk-checksum-algorithm",
			"send the checksum it names in a header or in the trailer")
	}
	return nil
}

// Body reads the content of a request and verifies it on the way: framing, signatures, length, hashes.
//
// Bytes are handed out before they are known to be good. Only io.EOF says that all is well; any other error
// is final, and means that nothing of what was read may be kept.
type Body struct {
	src     io.Reader
	payload Payload
	spec    BodySpec
	parser  *ChunkParser // nil: the body is the content
	hasher  *Hasher
	sums    Sums
	err     error
}

// NewBody returns a reader of the content of src, the body as it comes over the wire. The spec is from
// NewBodySpec; the caller may set an Algorithm where the client sent none.
func NewBody(src io.Reader, p Payload, s BodySpec) *Body {
	b := &Body{src: src, payload: p, spec: s}
	b.hasher = NewHasher(HasherOptions{
		SkipMD5: s.SkipMD5 && !s.HasMD5, SHA256: p.Mode == Hashed, Algorithm: s.Checksum.Algorithm,
	})
	if p.Mode.Chunked() {
		var declared []string
		if s.InTrailer {
			declared = []string{strings.ToLower(s.Checksum.Algorithm.Header())}
		}
		b.parser = NewChunkParser(p, s.Length, declared)
	}
	return b
}

// Read reads content. It returns io.EOF only when all of it was there and correct.
//
// Chunked bodies are decoded in place in p, so there is no buffer behind it; a large p is fast.
// Errors: *Error with a kind of bodies or digests; what src returned, wrapped in nothing.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	for empty := 0; empty < emptyReadsMax; {
		n, err := b.src.Read(p)
		if n == 0 {
			empty++
		}
		if n, b.err = b.take(p[:n]); b.err != nil {
			return 0, b.err
		}
		if err != nil {
			b.err = b.end(err)
			return n, b.err
		}
		if n > 0 {
			return n, nil
		}
	}
	b.err = io.ErrNoProgress
	return 0, b.err
}

// Sums returns the digests of the content; zero until Read has returned io.EOF.
func (b *Body) Sums() Sums { return b.sums }

// take decodes what was read in place, hashes it, and returns how much content is left in p.
func (b *Body) take(p []byte) (int, error) {
	kept := len(p)
	if b.parser != nil {
		kept = 0
		for rest := p; len(rest) > 0; {
			data, used, err := b.parser.Parse(rest)
			if err != nil {
				return 0, err
			}
			kept += copy(p[kept:], data)
			rest = rest[used:]
		}
	}
	b.hasher.Write(p[:kept])
	if b.spec.Length >= 0 && b.hasher.size > b.spec.Length {
		return 0, refuseBody(ErrBodyTooLong, strconv.FormatInt(b.hasher.size, 10)+" bytes",
			"announced were "+strconv.FormatInt(b.spec.Length, 10))
	}
	return kept, nil
}

// end turns the end of src into io.EOF when everything is right.
func (b *Body) end(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		e := refuseBody(ErrIncompleteBody, "", "the connection ended within the body")
		e.Cause = err
		return e
	}
	if err != io.EOF {
		return err
	}
	if b.parser != nil {
		if err := b.parser.Finish(); err != nil {
			return err
		}
	}
	if b.spec.Length >= 0 && b.hasher.size < b.spec.Length {
		return refuseBody(ErrIncompleteBody, strconv.FormatInt(b.hasher.size, 10)+" bytes",
			"announced were "+strconv.FormatInt(b.spec.Length, 10))
	}
	sums := b.hasher.Sums()
	if err := b.compare(&sums); err != nil {
		return err
	}
	b.sums = sums
	return io.EOF
}

// compare holds the digests against what the client promised.
func (b *Body) compare(sums *Sums) error {
	if b.payload.Mode == Hashed && !equal(&sums.SHA256, &b.payload.SHA256) {
		return refuseSum(ErrContentSHA256Mismatch, "", "hash the body exactly as it is sent")
	}
	if b.spec.HasMD5 && sums.MD5 != b.spec.MD5 {
		return refuseSum(ErrMD5Mismatch, "", "hash the body exactly as it is sent")
	}
	want, known := b.spec.Checksum, b.spec.HasChecksum
	if b.spec.InTrailer {
		var err error
		if want, err = ParseChecksum(want.Algorithm, b.parser.Trailer()[0].Value); err != nil {
			return err
		}
		known = true
	}
	if known && sums.Checksum != want {
		return refuseSum(ErrChecksumMismatch, strings.ToLower(want.Algorithm.Header()), "")
	}
	return nil
}

// StripChunked removes aws-chunked from a value of Content-Encoding: it describes the wire, not the object.
func StripChunked(encoding string) string {
	var kept []string
	for piece := range strings.SplitSeq(encoding, ",") {
		if piece = strings.TrimSpace(piece); piece != "" && !strings.EqualFold(piece, "aws-chunked") {
			kept = append(kept, piece)
		}
	}
	return strings.Join(kept, ",")
}
