package cluster

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"granary/core/codec"
	"granary/core/rt"
)

// goldenToken is what a released node printed once; it must be readable for ever.
const goldenToken = "granary-join-owFtMTAuMC4wLjE6MzkwMQJYIAcAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA1gg" +
	"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk"

func aToken() Token {
	return Token{Addr: "10.0.0.1:3901", Node: rt.NodeID{7}, Secret: bytes.Repeat([]byte{9}, ed25519.SeedSize)}
}

func TestTokenGolden(t *testing.T) {
	if got := aToken().String(); got != goldenToken {
		t.Errorf("got %s", got)
	}
	got, err := ParseToken("  " + goldenToken + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(aToken(), got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if s := fmt.Sprintf("%#v", got); strings.Contains(s, "9, 9") || strings.Contains(s, "granary-join") {
		t.Errorf("a token in a log shows its secret: %s", s)
	}
}

func TestTokenRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Token{Addr: rapid.StringN(1, 60, AddrMax).Draw(t, "addr"),
			Secret: rapid.SliceOfN(rapid.Byte(), ed25519.SeedSize, ed25519.SeedSize).Draw(t, "secret")}
		want.Node[rapid.IntRange(0, 31).Draw(t, "at")] = 1
		got, err := ParseToken(want.String())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("(-want +got):\n%s", d)
		}
	})
}

func TestBadTokens(t *testing.T) {
	encode := func(v any) string {
		raw, err := codec.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return tokenPrefix + base64.RawURLEncoding.EncodeToString(raw)
	}
	short, nowhere, nobody, far := aToken(), aToken(), aToken(), aToken()
	short.Secret = short.Secret[1:]
	nowhere.Addr = ""
	nobody.Node = rt.NodeID{}
	far.Addr = strings.Repeat("a", AddrMax+1)
	for _, s := range []string{"", "granary-join-", "x", goldenToken[1:], goldenToken[:len(goldenToken)-1],
		goldenToken + "A", tokenPrefix +
			"!", encode("text"), encode(short), encode(nowhere), encode(nobody), encode(far)} {
		if got, err := ParseToken(s); !errors.Is(err, ErrBadToken) ||
			!strings.Contains(err.Error(), "whole word") &&
				!strings.Contains(err.Error(), "codec") {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(goldenToken)
	f.Add(tokenPrefix)
	f.Add(tokenPrefix + "oA")
	f.Fuzz(func(t *testing.T, s string) {
		token, err := ParseToken(s)
		if err != nil {
			if !errors.Is(err, ErrBadToken) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		again, err := ParseToken(token.String())
		if err != nil || !cmp.Equal(token, again) {
			t.Errorf("%q: %v became %v, %v", s, token, again, err)
		}
	})
}
