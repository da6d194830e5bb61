package tcp

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"granary/core/rpc"
	"granary/prod/durable"
)

// keyType is the PEM type of the key file, PKCS #8.
const keyType = "PRIVATE KEY"

// LoadOrCreateKey reads the node's key at path, or, if there is no such file, makes one and stores it there
// before it returns. The file is private to its owner; one that others can read is refused.
func LoadOrCreateKey(path string) (rpc.Identity, error) {
	id, err := LoadKey(path)
	if err == nil {
		// The last start may have ended between rename and sync.
		return id, durable.SyncFolder(filepath.Dir(path))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	rand.Read(id.Seed[:])
	if err := storeKey(path, id); err != nil {
		return rpc.Identity{}, fmt.Errorf("tcp: store node key: %w", err)
	}
	return LoadKey(path)
}

// LoadKey reads the node's key at path. One that others can read is refused.
func LoadKey(path string) (rpc.Identity, error) {
	var id rpc.Identity
	info, err := os.Stat(path)
	if err != nil {
		return id, fmt.Errorf("tcp: node key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return id, fmt.Errorf("tcp: node key %s: others may read it (mode %04o); chmod 600 it", path, mode)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return id, fmt.Errorf("tcp: node key: %w", err)
	}
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != keyType {
		return id, fmt.Errorf("tcp: node key %s: not a PEM file with a %q", path, keyType)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return id, fmt.Errorf("tcp: node key %s: %w", path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return id, fmt.Errorf("tcp: node key %s: a %T, want Ed25519", path, parsed)
	}
	copy(id.Seed[:], key.Seed())
	return id, nil
}

func storeKey(path string, id rpc.Identity) error {
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(id.Seed[:]))
	if err != nil {
		return err
	}
	return durable.Write(path, pem.EncodeToMemory(&pem.Block{Type: keyType, Bytes: der}),
		func(step string) error { return point("key-" + step) })
}
