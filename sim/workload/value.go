package workload

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"

	"granary/sim/check"
)

// value is the content that an operation writes. Its bytes follow from its id: the first eight are the id,
// the rest a stream that no other value shares.
type value struct {
	id   uint64
	size int64
}

// word returns the i-th eight bytes.
func (v value) word(i uint64) uint64 {
	if i == 0 {
		return v.id
	}
	h := (v.id*0x9e3779b97f4a7c15 + i) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>31) * 0x94d049bb133111eb
	return h ^ h>>29
}

// fill writes the bytes from off on into p.
func (v value) fill(p []byte, off int64) {
	for len(p) > 0 {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], v.word(uint64(off/8)))
		n := copy(p, w[off%8:])
		p, off = p[n:], off+int64(n)
	}
}

// reader reads the bytes [off, end).
func (v value) reader(off, end int64) io.Reader { return &valueReader{v: v, off: off, end: end} }

type valueReader struct {
	v        value
	off, end int64
	cut      error // at end, instead of io.EOF
}

// Read implements io.Reader.
func (r *valueReader) Read(p []byte) (int, error) {
	if r.off == r.end {
		if r.cut != nil {
			return 0, r.cut
		}
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.end-r.off)]
	r.v.fill(p, r.off)
	r.off += int64(len(p))
	return len(p), nil
}

// etag returns the ETag of the value in parts of partSize, 0 for a plain put.
func (v value) etag(parts int) string {
	if parts == 0 {
		return hex.EncodeToString(v.md5(0, v.size))
	}
	whole := md5.New()
	for n := range parts {
		whole.Write(v.md5(v.part(n, parts)))
	}
	return fmt.Sprintf("%s-%d", hex.EncodeToString(whole.Sum(nil)), parts)
}

// part returns where the n-th part, counted from 0, begins and ends.
func (v value) part(n, parts int) (off, end int64) {
	off = int64(n) * partSize
	if n == parts-1 {
		return off, v.size
	}
	return off, off + partSize
}

func (v value) md5(off, end int64) []byte {
	h := md5.New()
	io.Copy(h, v.reader(off, end))
	return h.Sum(nil)
}

// verifier compares what is written to it with the value's bytes.
type verifier struct {
	v     value
	off   int64
	buf   [4096]byte
	fault string
}

// Write implements io.Writer.
func (c *verifier) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && c.fault == "" {
		want := c.buf[:min(len(p), len(c.buf))]
		c.v.fill(want, c.off)
		for i := range want {
			if p[i] != want[i] {
				c.fault = c.describe(p, i)
				break
			}
		}
		p, c.off = p[len(want):], c.off+int64(len(want))
	}
	return n, nil
}

func (c *verifier) describe(p []byte, i int) string {
	if c.off == 0 && len(p) >= 8 {
		return fmt.Sprintf("byte %d is not of %s; the content begins as that of %s",
			i, check.ValueID(c.v.id), check.ValueID(binary.LittleEndian.Uint64(p)))
	}
	return fmt.Sprintf("byte %d is not of %s", c.off+int64(i), check.ValueID(c.v.id))
}
