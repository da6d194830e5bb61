package cluster

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"granary/core/codec"
	"granary/core/rpc"
	"granary/core/rt"
)

// TokenTTL is how long a join token lives.
const TokenTTL = time.Hour

// tokensMax bounds the tokens outstanding at one node.
const tokensMax = 100

const tokenPrefix = "granary-join-"

// Token lets one new node join: where to connect, which key to expect there, and a secret that is the seed of
// the key with which to connect. The node that issued it keeps only that key.
type Token struct {
	Addr   string    `cbor:"1,keyasint"`
	Node   rt.NodeID `cbor:"2,keyasint"`
	Secret []byte    `cbor:"3,keyasint"` // Ed25519 seed
}

// Kinds of errors, for errors.Is.
var (
	ErrBadToken     = errors.New("malformed join token")
	ErrManyTokens   = errors.New("too many join tokens are outstanding")
	ErrTokenRefused = rpc.RegisterError("cluster.token_refused",
		errors.New("join token refused: it was used already, or has expired; ask a member for another"))
)

// String returns the token as one word, for a command line.
func (t Token) String() string {
	raw, err := codec.Marshal(t)
	if err != nil {
		rt.Break("join token for %q: %v", t.Addr, err)
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(raw)
}

// ParseToken reads what String wrote.
func ParseToken(s string) (Token, error) {
	var t Token
	body, ok := strings.CutPrefix(strings.TrimSpace(s), tokenPrefix)
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if !ok || err != nil {
		return t, fmt.Errorf("%w: want %s followed by base64; copy the whole word", ErrBadToken, tokenPrefix)
	}
	if err := codec.Unmarshal(raw, &t); err != nil {
		return t, fmt.Errorf("%w: %w", ErrBadToken, err)
	}
	return t, t.check()
}

// check says whether the token has all its parts.
func (t Token) check() error {
	if len(t.Secret) != ed25519.SeedSize || t.Addr == "" || len(t.Addr) > AddrMax || t.Node.IsZero() {
		return fmt.Errorf("%w: incomplete; copy the whole word", ErrBadToken)
	}
	return nil
}

// GoString returns the token without its secret, for logs; only String tells it.
func (t Token) GoString() string {
	return fmt.Sprintf("cluster.Token{Addr: %q, Node: %s}", t.Addr, t.Node.Short())
}

// keyOf is the public key that belongs to a seed, as a node id.
func keyOf(seed []byte) rt.NodeID {
	return rt.NodeID(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey))
}
