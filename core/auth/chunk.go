package auth

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"strings"
)

// TrailerField is one line of a trailer.
type TrailerField struct{ Name, Value string }

// chunkState is what a ChunkParser expects next.
type chunkState uint8

const (
	wantHeader  chunkState = iota // SIZE[;chunk-signature=HEX]CRLF
	wantData                      // left more bytes of the chunk
	wantDataEnd                   // the CRLF behind a chunk's data
	wantLastEnd                   // the CRLF behind the empty chunk, when no trailer may follow
	wantTrailer                   // a line of the trailer, or the empty one that ends it
	wantNothing                   // all done; an empty line may follow an unsigned trailer
	wantSilence                   // all done; not a byte may follow
)

// ChunkParser parses the aws-chunked encoding. It does no I/O: bytes are handed in as they come, data come
// out as parts of them, and nothing but the current line is kept.
//
// Data are handed out before the signature over their chunk is checked, which needs the whole chunk; a
// chunk may have 5 GiB. They are good only when [ChunkParser.Finish] has returned nil.
//
// Line ends: chunk lines end with CRLF. Trailer lines may end with LF alone, and an empty line may stand
// before the trailer's signature, as some signers write them.
type ChunkParser struct {
	mode     Mode
	chain    *chain // nil: unsigned
	declared []string

	state  chunkState
	left   int64 // of the current chunk's data
	room   int64 // decoded bytes still to come
	want   [32]byte
	sum    hash.Hash
	line   [trailerLineMax]byte
	held   int // bytes in line
	blanks int // empty lines before the trailer's signature
	signed bool

	trailer []TrailerField
	err     error
}

// NewChunkParser returns a parser for a body of decoded bytes. Declared are the lower-case names that the
// trailer must have, exactly; they are kept. The mode must be Chunked.
func NewChunkParser(p Payload, decoded int64, declared []string) *ChunkParser {
	c := &ChunkParser{mode: p.Mode, declared: declared, room: decoded}
	if p.Mode.signed() {
		own := *p.chain
		own.buf = make([]byte, 0, cap(p.chain.buf))
		c.chain, c.sum = &own, sha256.New()
	}
	return c
}

// Trailer returns the trailer's fields without its signature, in the order they came.
func (c *ChunkParser) Trailer() []TrailerField { return c.trailer }

// Parse consumes bytes of src up to the next run of data and returns that run, a part of src, and how many
// bytes it consumed. Call again with the rest while there is any. An error is final.
func (c *ChunkParser) Parse(src []byte) (data []byte, n int, err error) {
	for c.err == nil && n < len(src) {
		switch c.state {
		case wantData:
			run := src[n:]
			if int64(len(run)) > c.left {
				run = run[:c.left]
			}
			c.left -= int64(len(run))
			if c.sum != nil {
				c.sum.Write(run)
			}
			if c.left == 0 {
				c.state = wantDataEnd
			}
			return run, n + len(run), nil
		case wantSilence:
			c.err = refuseBody(ErrMalformedChunk, "bytes behind the end of the body", "")
		default:
			line, used, ok := c.takeLine(src[n:])
			n += used
			if ok {
				c.err = c.parseLine(line)
			}
		}
	}
	return nil, n, c.err
}

// Finish tells the parser that no more bytes will come. It returns nil when the body was complete and
// correct.
func (c *ChunkParser) Finish() error {
	if c.err == nil && (c.state < wantNothing || c.held > 0) {
		c.err = refuseBody(ErrIncompleteBody, "chunked body", "send all chunks and the trailer")
	}
	if c.err == nil && c.room > 0 {
		c.err = refuseBody(ErrIncompleteBody, "chunked body",
			"it is shorter than x-amz-decoded-content-length")
	}
	return c.err
}

// takeLine collects a line up to LF, across calls; ok when it is whole. The line is valid until the next
// call.
func (c *ChunkParser) takeLine(src []byte) (line []byte, used int, ok bool) {
	limit := c.lineLimit()
	i := bytes.IndexByte(src, '\n')
	if i < 0 {
		used = len(src)
	} else {
		used = i + 1
	}
	if c.held+used > limit {
		c.err = refuseBody(c.lineKind(), "a line of the chunked body", "it is too long")
		return nil, used, false
	}
	if i >= 0 && c.held == 0 {
		return src[:used], used, true
	}
	copy(c.line[c.held:], src[:used])
	c.held += used
	if i < 0 {
		return nil, used, false
	}
	line, c.held = c.line[:c.held], 0
	return line, used, true
}

// lineLimit bounds the line that is expected now, in bytes.
func (c *ChunkParser) lineLimit() int {
	switch c.state {
	case wantHeader:
		return chunkLineMax
	case wantTrailer:
		return trailerLineMax
	}
	return len("\r\n")
}

// lineKind is the kind of a fault in the line that is expected now.
func (c *ChunkParser) lineKind() Kind {
	if c.state == wantTrailer {
		return ErrMalformedTrailer
	}
	return ErrMalformedChunk
}

// parseLine advances over one whole line, its end included.
func (c *ChunkParser) parseLine(line []byte) error {
	if c.state == wantTrailer {
		return c.parseTrailerLine(bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")))
	}
	body, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		return refuseBody(ErrMalformedChunk, "a line of the chunked body", "end it with CRLF")
	}
	if c.state == wantHeader {
		return c.parseHeader(body)
	}
	if len(body) > 0 {
		return refuseBody(ErrMalformedChunk, "the end of a chunk", "the data are longer than the size said")
	}
	switch c.state {
	case wantDataEnd:
		c.state = wantHeader
		return c.checkChunk()
	default: // wantLastEnd, and the extra line of wantNothing
		c.state = wantSilence
		return nil
	}
}

// parseHeader parses SIZE or SIZE;chunk-signature=HEX.
func (c *ChunkParser) parseHeader(line []byte) error {
	digits, signature, extended := bytes.Cut(line, []byte(";chunk-signature="))
	size, ok := parseSize(digits)
	if !ok {
		return refuseBody(ErrMalformedChunk, "the size of a chunk",
			"write 1 to 16 hexadecimal digits, and no extension but chunk-signature")
	}
	if extended != (c.chain != nil) || extended && !decodeHash(&c.want, string(signature)) {
		return refuseBody(ErrMalformedChunk, "the signature of a chunk",
			"signed chunks have one of 64 hexadecimal digits, unsigned chunks none")
	}
	if size > ChunkMax || size > c.room {
		return refuseBody(ErrBodyTooLong, "a chunk",
			"it reaches beyond x-amz-decoded-content-length or 5 GiB")
	}
	c.left = size
	c.room -= size
	if size > 0 {
		c.state = wantData
		return nil
	}
	c.state = wantLastEnd
	if c.mode.trailed() {
		c.state = wantTrailer
	}
	return c.checkChunk()
}

// parseSize parses 1 to 16 hexadecimal digits that fit in 63 bits.
func parseSize(digits []byte) (int64, bool) {
	if len(digits) == 0 || len(digits) > 16 {
		return 0, false
	}
	var size uint64
	for _, d := range digits {
		v, ok := unhex(d)
		if !ok {
			return 0, false
		}
		size = size<<4 | uint64(v)
	}
	return int64(size), size>>63 == 0
}

// checkChunk compares the signature of the chunk that has just ended.
func (c *ChunkParser) checkChunk() error {
	if c.chain == nil {
		return nil
	}
	var sum [32]byte
	c.sum.Sum(sum[:0])
	c.sum.Reset()
	got := c.chain.chunk(sum)
	if !equal(&got, &c.want) {
		return refuseBody(ErrChunkSignature, "", "sign its data and the signature before")
	}
	return nil
}

// parseTrailerLine parses NAME:VALUE, or the empty line that ends the trailer.
func (c *ChunkParser) parseTrailerLine(line []byte) error {
	if len(line) == 0 {
		return c.endTrailer()
	}
	name, value, ok := strings.Cut(string(line), ":")
	name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
	if !ok || name == "" || c.signed {
		return refuseBody(ErrMalformedTrailer, "trailer line", "write name:value, the signature last")
	}
	if name == "x-amz-trailer-signature" && c.chain != nil {
		c.signed = true
		return c.checkTrailer(value)
	}
	if c.blanks > 0 || len(c.trailer) == trailersMax {
		return refuseBody(ErrMalformedTrailer, name, "at most 4 fields, then the signature")
	}
	c.trailer = append(c.trailer, TrailerField{name, value})
	return nil
}

// checkTrailer compares the trailer's signature.
func (c *ChunkParser) checkTrailer(value string) error {
	var want [32]byte
	if !decodeHash(&want, value) {
		return refuseBody(ErrMalformedTrailer, "x-amz-trailer-signature", "write 64 hexadecimal digits")
	}
	got := c.chain.trailer(sha256.Sum256(appendTrailer(nil, c.trailer)))
	if !equal(&got, &want) {
		return refuseBody(ErrTrailerSignature, "", "sign name:value with LF behind each, in the order sent")
	}
	return nil
}

// appendTrailer appends the canonical lines of a trailer.
func appendTrailer(dst []byte, fields []TrailerField) []byte {
	for _, f := range fields {
		dst = append(dst, f.Name...)
		dst = append(dst, ':')
		dst = append(dst, f.Value...)
		dst = append(dst, '\n')
	}
	return dst
}

// endTrailer handles an empty line in the trailer.
func (c *ChunkParser) endTrailer() error {
	if c.chain != nil && !c.signed {
		if c.blanks++; c.blanks > 1 {
			return refuseBody(ErrTrailerSignature, "x-amz-trailer-signature", "the line is missing")
		}
		return nil
	}
	c.state = wantNothing
	if c.chain != nil {
		c.state = wantSilence
	}
	return c.checkDeclared()
}

// checkDeclared compares the trailer's names with those announced.
func (c *ChunkParser) checkDeclared() error {
	if len(c.trailer) != len(c.declared) {
		return refuseBody(ErrMalformedTrailer, "", "send exactly the fields that x-amz-trailer names")
	}
	for _, name := range c.declared {
		found := false
		for _, f := range c.trailer {
			found = found || f.Name == name
		}
		if !found {
			return refuseBody(ErrMalformedTrailer, name, "x-amz-trailer names it, the trailer lacks it")
		}
	}
	return nil
}

// refuseBody returns an Error of a body.
func refuseBody(kind Kind, subject, hint string) *Error {
	return &Error{Op: "read body", Kind: kind, Subject: subject, Hint: hint}
}
