package s3

import (
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"net/http"

	"granary/core/auth"
	"granary/core/object"
	"granary/core/rt"
)

// content is the body of a request that is stored: it verifies while it is read, and remembers why reading
// failed.
type content struct {
	env  rt.Env
	work []rt.Work // what is computed over every byte
	body *auth.Body
	size int64 // announced
	typ  string
	read int64
	err  error // of Read, other than io.EOF
}

// Read reads content; see auth.Body.
func (b *content) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.read += int64(n)
	for _, w := range b.work {
		b.env.Charge(w, n)
	}
	if err != nil && err != io.EOF {
		b.err = bodyFailure(err)
		err = b.err
	}
	return n, err
}

// Sums returns the digests once all was read.
func (b *content) Sums() (object.Sums, error) {
	if b.err != nil {
		return object.Sums{}, b.err
	}
	s := b.body.Sums()
	sums := object.Sums{ETag: hex.EncodeToString(s.MD5[:])}
	if s.Checksum.Algorithm != auth.NoAlgorithm {
		sums.Checksums = []object.Checksum{{
			Algo: s.Checksum.Algorithm.String(), Value: s.Checksum.String(), Type: b.typ,
		}}
	}
	return sums, nil
}

// blame returns the error of a write: when the body could not be read, that is the reason, whatever was made
// of it.
func (b *content) blame(err error) error {
	if b.err != nil && err != nil {
		return b.err
	}
	return err
}

// bodyFailure turns an error of reading a body into a failure.
func bodyFailure(err error) error {
	var a *auth.Error
	if errors.As(err, &a) {
		return err
	}
	var t interface{ Timeout() bool }
	if errors.As(err, &t) && t.Timeout() {
		return refuseCause("RequestTimeout", "", err)
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return refuseCause("EntityTooLarge", "", err)
	}
	return refuseCause("IncompleteBody", "", err)
}

// content prepares to read the request's body as content. Typ is the type its checksum is stored with.
func (c *call) content(typ string) (*content, error) {
	r := c.signed()
	r.Header = c.fields
	spec, err := auth.NewBodySpec(&r, c.verified.Payload)
	switch {
	case err != nil:
		return nil, err
	case spec.Length < 0:
		return nil, refuse("MissingContentLength", "")
	case spec.Length > object.PutMax:
		return nil, refuse("EntityTooLarge", "").with("ProposedSize", itoa(spec.Length)).
			with("MaxSizeAllowed", itoa(object.PutMax))
	}
	c.body = &content{env: c.h.env, work: work(spec, c.verified.Payload.Mode),
		body: auth.NewBody(c.source(), c.verified.Payload, spec), size: spec.Length, typ: typ}
	return c.body, nil
}

// work is what a body's digests and signatures take. Checksums by CRC take next to nothing.
func work(spec auth.BodySpec, mode auth.Mode) (kinds []rt.Work) {
	if !spec.SkipMD5 || spec.HasMD5 {
		kinds = append(kinds, rt.MD5)
	}
	if mode == auth.Hashed || mode == auth.SignedChunks || mode == auth.SignedChunksTrailer ||
		spec.Checksum.Algorithm == auth.SHA256 {
		kinds = append(kinds, rt.SHA256)
	}
	return kinds
}

// source returns the body as it comes over the wire.
func (c *call) source() io.Reader {
	if c.http.Body == nil {
		return http.NoBody
	}
	return c.http.Body
}

// digests says what the digests in the headers of a request with a document are about.
type digests uint8

const (
	digestsChecked  digests = iota // they are of the document
	digestsRequired                // and one of them, Content-MD5 or a signed hash must be there
	digestsOfObject                // the checksums are of something else
)

// readDocument reads a body that is an XML document of up to most bytes.
func (c *call) readDocument(most int64, about digests) ([]byte, error) {
	r := c.signed()
	r.Header = c.fields
	if about == digestsOfObject {
		r.Header = withoutChecksums(c.fields)
	}
	spec, err := auth.NewBodySpec(&r, c.verified.Payload)
	if err != nil {
		return nil, err
	}
	if spec.Length > most {
		return nil, refuse("MaxMessageLengthExceeded", "").with("MaxMessageLengthBytes", itoa(most))
	}
	if about == digestsRequired && !spec.HasMD5 && !spec.HasChecksum && !spec.InTrailer &&
		c.verified.Payload.Mode == auth.Unsigned {
		return nil, refuse("InvalidRequest",
			"Content-MD5 or an x-amz-checksum header is needed for this request.")
	}
	spec.SkipMD5 = true
	c.body = &content{body: auth.NewBody(c.source(), c.verified.Payload, spec), size: spec.Length}
	b, err := io.ReadAll(io.LimitReader(c.body, most+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(b)) > most:
		return nil, refuse("MaxMessageLengthExceeded", "").with("MaxMessageLengthBytes", itoa(most))
	}
	return b, nil
}

// withoutChecksums returns the headers but those of a body's checksum.
func withoutChecksums(h http.Header) http.Header {
	out := maps.Clone(h)
	for a := auth.CRC32; a <= auth.SHA256; a++ {
		delete(out, a.Header())
	}
	delete(out, "X-Amz-Sdk-Checksum-Algorithm")
	return out
}
