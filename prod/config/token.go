package config

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
)

// tokenPrefix begins a bearer token, so that one that leaked is recognised.
const tokenPrefix = "granary-admin-"

// NewToken returns a random bearer token for the admin API and its hash, which is what a configuration holds.
func NewToken() (token, hash string) {
	var raw [32]byte
	rand.Read(raw[:])
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(raw[:])
	return token, HashToken(token)
}

// HashToken returns the hash of a token. The token has 256 random bits, so a plain hash gives nothing away.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hashPrefix + hex.EncodeToString(sum[:])
}

// TokenMatches reports whether a token has this hash, in constant time. The empty hash matches nothing.
func TokenMatches(hash, token string) bool {
	return hash != "" && subtle.ConstantTimeCompare([]byte(hash), []byte(HashToken(token))) == 1
}
