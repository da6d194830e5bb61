package auth

import (
	"crypto/md5"
	"crypto/sha256"
	"hash"
)

// Sums are the digests of a stream. Those that were not asked for are zero.
type Sums struct {
	Size     int64 // bytes
	MD5      [16]byte
	SHA256   [32]byte
	Checksum Checksum
}

// HasherOptions say what a Hasher computes. The zero value asks for MD5, which ETags are made of.
type HasherOptions struct {
	SkipMD5   bool
	SHA256    bool
	Algorithm Algorithm // one checksum more; none when zero
}

// Hasher computes the digests of a stream, each once: a SHA256 checksum and a SHA-256 payload hash share
// their work.
type Hasher struct {
	size      int64
	algorithm Algorithm
	md5       hash.Hash // nil: not asked for
	sha256    hash.Hash // nil: not asked for, neither way
	checksum  hash.Hash // nil: none, or SHA256
}

// NewHasher returns a Hasher of an empty stream.
func NewHasher(o HasherOptions) *Hasher {
	h := &Hasher{algorithm: o.Algorithm}
	if !o.SkipMD5 {
		h.md5 = md5.New()
	}
	if o.SHA256 || o.Algorithm == SHA256 {
		h.sha256 = sha256.New()
	}
	if o.Algorithm != NoAlgorithm && o.Algorithm != SHA256 {
		h.checksum = o.Algorithm.newHash()
	}
	return h
}

// Write adds bytes to the stream. It never fails.
func (h *Hasher) Write(p []byte) (int, error) {
	h.size += int64(len(p))
	for _, d := range [...]hash.Hash{h.md5, h.sha256, h.checksum} {
		if d != nil {
			d.Write(p)
		}
	}
	return len(p), nil
}

// Sums returns the digests of what was written so far; more may be written after.
func (h *Hasher) Sums() Sums {
	s := Sums{Size: h.size, Checksum: Checksum{Algorithm: h.algorithm}}
	if h.md5 != nil {
		h.md5.Sum(s.MD5[:0])
	}
	if h.sha256 != nil {
		h.sha256.Sum(s.SHA256[:0])
	}
	if h.checksum != nil {
		h.checksum.Sum(s.Checksum.Value[:0])
	}
	if h.algorithm == SHA256 {
		s.Checksum.Value = s.SHA256
	}
	return s
}
