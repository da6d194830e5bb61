package tcp

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestKeyIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.key")
	first, err := LoadOrCreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if first.Seed == [32]byte{} {
		t.Error("the key is zero")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode %04o, want 0600", mode)
	}
	again, err := LoadOrCreateKey(path)
	if err != nil || again != first {
		t.Errorf("loaded %t the same key, %v", again == first, err)
	}
	other, err := LoadOrCreateKey(filepath.Join(t.TempDir(), "node.key"))
	if err != nil || other == first {
		t.Errorf("two nodes have one key: %t, %v", other == first, err)
	}
}

// A key that cannot be used is an error, never a reason for a new one: the node would be another.
func TestBadKeysAreRefused(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good")
	if _, err := LoadOrCreateKey(good); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		content []byte
		mode    os.FileMode
	}{
		"empty":    {nil, 0o600},
		"text":     {[]byte("secret"), 0o600},
		"cut":      {content[:len(content)/2], 0o600},
		"damaged":  {bytes.Replace(content, []byte("MC4C"), []byte("MD4C"), 1), 0o600},
		"readable": {content, 0o640},
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, tt.content, tt.mode); err != nil {
			t.Fatal(err)
		}
		if id, err := LoadOrCreateKey(path); err == nil {
			t.Errorf("%s: loaded %v", name, IDOf(id))
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, tt.content) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}
