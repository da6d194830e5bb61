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
)

// keyType is the PEM type of the key file, PKCS #8.
const keyType = "PRIVATE KEY"

// LoadOrCreateKey reads the node's key at path, or, if there is no such file, makes one and stores it there
// before it returns. The file is private to its owner; one that others can read is refused.
func LoadOrCreateKey(path string) (rpc.Identity, error) {
	id, err := LoadKey(path)
	if err == nil {
		return id, syncFolder(path) // the last start may have ended between rename and sync
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

// storeKey writes a temporary file, syncs it, renames it, and syncs the folder.
func storeKey(path string, id rpc.Identity) error {
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(id.Seed[:]))
	if err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := writeSynced(tmp, pem.EncodeToMemory(&pem.Block{Type: keyType, Bytes: der})); err != nil {
		return err
	}
	if err := point("key-synced"); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	if err := point("key-renamed"); err != nil {
		return err
	}
	return syncFolder(path)
}

func syncFolder(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := point("key-created"); err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}
