package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
)

// emptySHA256 is the hash of nothing in hexadecimal.
const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// signingKey is the key derived from a secret for one day, region and service.
type signingKey [32]byte

// mac returns the HMAC-SHA256 of a message.
func mac(key []byte, message ...string) (sum [32]byte) {
	h := hmac.New(sha256.New, key)
	var buf [128]byte
	for _, m := range message {
		for len(m) > 0 {
			n := copy(buf[:], m)
			h.Write(buf[:n])
			m = m[n:]
		}
	}
	h.Sum(sum[:0])
	return sum
}

// deriveKey derives the signing key.
func deriveKey(secret Secret, s scope) signingKey {
	day := mac([]byte("AWS4"+string(secret)), s.day)
	region := mac(day[:], s.region)
	service := mac(region[:], s.service)
	return mac(service[:], terminator)
}

// sign returns the signature over a string to sign.
func (k *signingKey) sign(stringToSign []byte) (sum [32]byte) {
	h := hmac.New(sha256.New, k[:])
	h.Write(stringToSign)
	h.Sum(sum[:0])
	return sum
}

// equal compares signatures in constant time.
func equal(a, b *[32]byte) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

// appendStringToSign appends the string to sign over a hashed canonical request.
func appendStringToSign(dst []byte, stamp string, s scope, canonical []byte) []byte {
	dst = append(dst, algorithm...)
	dst = append(dst, '\n')
	dst = append(dst, stamp...)
	dst = append(dst, '\n')
	dst = s.append(dst)
	dst = append(dst, '\n')
	sum := sha256.Sum256(canonical)
	return hex.AppendEncode(dst, sum[:])
}

// chain signs the chunks of one body: every signature covers the one before it, the first the request's.
// The zero value is not usable; newChain makes one.
type chain struct {
	h     hash.Hash // HMAC with the signing key
	stamp string
	scope string
	prev  [32]byte
	buf   []byte
}

// newChain starts a chain at the request's signature.
func newChain(k *signingKey, stamp string, s scope, seed [32]byte) *chain {
	return &chain{
		h: hmac.New(sha256.New, k[:]), stamp: stamp, scope: string(s.append(nil)), prev: seed,
		buf: make([]byte, 0, 320),
	}
}

// chunk returns the signature of a chunk whose data hash to sum and moves on.
func (c *chain) chunk(sum [32]byte) [32]byte {
	c.begin("AWS4-HMAC-SHA256-PAYLOAD\n")
	c.buf = append(c.buf, emptySHA256...)
	c.buf = append(c.buf, '\n')
	return c.finish(sum)
}

// trailer returns the signature of a trailer whose canonical lines hash to sum and moves on.
func (c *chain) trailer(sum [32]byte) [32]byte {
	c.begin("AWS4-HMAC-SHA256-TRAILER\n")
	return c.finish(sum)
}

// begin writes what the strings to sign have in common.
func (c *chain) begin(kind string) {
	c.buf = append(c.buf[:0], kind...)
	c.buf = append(c.buf, c.stamp...)
	c.buf = append(c.buf, '\n')
	c.buf = append(c.buf, c.scope...)
	c.buf = append(c.buf, '\n')
	c.buf = hex.AppendEncode(c.buf, c.prev[:])
	c.buf = append(c.buf, '\n')
}

// finish signs and moves on.
func (c *chain) finish(sum [32]byte) [32]byte {
	c.buf = hex.AppendEncode(c.buf, sum[:])
	c.h.Reset()
	c.h.Write(c.buf)
	c.h.Sum(c.prev[:0])
	return c.prev
}
