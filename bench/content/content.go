// Package content makes object contents that prove themselves: every byte follows from the content's number
// and size, which its first bytes hold, so that a reader knows what it got, and no two numbers share a block.
package content

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// HeaderSize is the smallest size of a content, in bytes: its number and size.
const HeaderSize = 16

// Content is what one write stores.
type Content struct {
	ID   uint64
	Size int64 // at least HeaderSize
}

// word returns the eight bytes at 8·i. The mixing is that of SplitMix64 (Steele, Lea, Flood 2014).
func (c Content) word(i int64) uint64 {
	switch i {
	case 0:
		return c.ID
	case 1:
		return uint64(c.Size)
	}
	z := c.ID*0xda942042e4dd58b5 + uint64(i)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Fill writes the bytes of the content from offset on into p. The offset must be a multiple of 8.
func (c Content) Fill(p []byte, offset int64) {
	i := offset / 8
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, c.word(i))
		p, i = p[8:], i+1
	}
	if len(p) > 0 {
		var last [8]byte
		binary.LittleEndian.PutUint64(last[:], c.word(i))
		copy(p, last[:])
	}
}

// Bytes returns the whole content.
func (c Content) Bytes() []byte {
	p := make([]byte, c.Size)
	c.Fill(p, 0)
	return p
}

// Reader returns the content as a stream. It can seek, as clients that repeat a request want.
func (c Content) Reader() io.ReadSeeker {
	return io.NewSectionReader(at(c), 0, c.Size)
}

// at serves ReadAt.
type at Content

// ReadAt implements io.ReaderAt.
func (a at) ReadAt(p []byte, off int64) (n int, err error) {
	if off >= a.Size {
		return 0, io.EOF
	}
	if int64(len(p)) > a.Size-off {
		p, err = p[:a.Size-off], io.EOF
	}
	if skew := off % 8; skew != 0 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], Content(a).word(off/8))
		n = copy(p, word[skew:])
	}
	Content(a).Fill(p[n:], off+int64(n))
	return len(p), err
}

// ErrWrong is that bytes are not those of a content.
var ErrWrong = errors.New("wrong bytes")

// ErrCut is that a stream broke off: the bytes until then were right.
var ErrCut = errors.New("cut off")

// stream tells a broken stream, as net/http reports it, from one that ended.
type stream struct{ io.Reader }

// Read implements io.Reader.
func (s stream) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: %w", ErrCut, err)
	}
	return n, err
}

// Read reads a whole content and checks every byte of it.
//
// Errors: ErrWrong, with what was read of number and size; ErrCut; those of r.
func Read(r io.Reader) (Content, error) {
	r = stream{r}
	var head [HeaderSize]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		if ended(err) {
			err = fmt.Errorf("%w: %d bytes, shorter than any content", ErrWrong, n)
		}
		return Content{}, err
	}
	c := Content{binary.LittleEndian.Uint64(head[:]), int64(binary.LittleEndian.Uint64(head[8:]))}
	return c, c.check(r)
}

// check compares r with the content behind its header.
func (c Content) check(r io.Reader) error {
	const step = 64 << 10
	got, want := make([]byte, step), make([]byte, step)
	for off := int64(HeaderSize); ; {
		n, err := io.ReadFull(r, got)
		if off+int64(n) > c.Size {
			return fmt.Errorf("%w: longer than the %d bytes of content %d", ErrWrong, c.Size, c.ID)
		}
		c.Fill(want[:n], off)
		if string(got[:n]) != string(want[:n]) {
			return fmt.Errorf("%w: content %d differs between its bytes %d and %d", ErrWrong, c.ID, off,
				off+int64(n))
		}
		off += int64(n)
		if ended(err) {
			if off != c.Size {
				return fmt.Errorf("%w: content %d ends after %d of %d bytes", ErrWrong, c.ID, off, c.Size)
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// ended reports whether io.ReadFull met the end of the stream.
func ended(err error) bool {
	return !errors.Is(err, ErrCut) && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF))
}
