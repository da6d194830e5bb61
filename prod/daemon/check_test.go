package daemon

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"granary/prod/config"
)

// stocked returns the options of a --dev store that was stopped with a small and a large object in it.
func stocked(t *testing.T) Options {
	opts := options(filepath.Join(t.TempDir(), "data"))
	d := start(t, opts)
	for key, size := range map[string]int{"small": 10, "large": 3 << 20} {
		_, err := s3Client(t, d).PutObject(context.Background(), DevBucket, key,
			bytes.NewReader(bytes.Repeat([]byte(key), size/5)), int64(size/5*5), minio.PutObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Check(context.Background(), opts.Config, false); !errors.Is(err, ErrInUse) {
		t.Errorf("check of a running node: %v", err)
	}
	if err := d.StopNow(); err != nil {
		t.Fatal(err)
	}
	return opts
}

// faultsOf checks a stopped node.
func faultsOf(t *testing.T, c config.Config) []string {
	t.Helper()
	found, err := Check(context.Background(), c, true)
	if err != nil {
		t.Fatal(err)
	}
	return found.Faults
}

// TestCheck names what is wrong with a data folder, and finds nothing wrong with a sound one.
func TestCheck(t *testing.T) {
	opts := stocked(t)
	folder := opts.Config.Data.Folder
	found, err := Check(context.Background(), opts.Config, true)
	if err != nil || found.Faulty != 0 || found.Blocks.Blocks == 0 || found.Metadata.Keys != found.Records {
		t.Fatalf("%+v, %v", found, err)
	}
	blocks, err := filepath.Glob(filepath.Join(folder, "blocks", "blocks", "*", "*"))
	if err != nil || len(blocks) == 0 {
		t.Fatal(blocks, err)
	}
	for _, tt := range []struct {
		file, want string
		spoil      func(raw []byte) []byte // nil result: no file
	}{
		{blocks[0], "block corrupt", func(raw []byte) []byte { raw[len(raw)/2] ^= 1; return raw }},
		{blocks[0], "its file is not", func([]byte) []byte { return nil }},
		{filepath.Join(folder, keyName), "no such file", func([]byte) []byte { return nil }},
		{filepath.Join(folder, keyName), "not a PEM", func([]byte) []byte { return []byte("x") }},
		{filepath.Join(folder, diskName), "not the expected disk",
			func([]byte) []byte { return []byte(strings.Repeat("ab", 16) + "\n") }},
		{filepath.Join(folder, "blocks", "DISK"), "not the expected disk",
			func([]byte) []byte { return nil }},
		{filepath.Join(folder, metadataName), "has lost its memory", func([]byte) []byte { return nil }},
		{filepath.Join(folder, metadataName), "damaged",
			func(raw []byte) []byte { clear(raw[2*4096 : len(raw)/2]); return raw }},
	} {
		raw, err := os.ReadFile(tt.file)
		if err != nil {
			t.Fatal(err)
		}
		if spoilt := tt.spoil(bytes.Clone(raw)); spoilt == nil {
			err = os.Remove(tt.file)
		} else {
			err = os.WriteFile(tt.file, spoilt, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(faultsOf(t, opts.Config), "\n"); !strings.Contains(text, tt.want) {
			t.Errorf("%s: want %q in %q", tt.file, tt.want, text)
		}
		if err := os.WriteFile(tt.file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if faults := faultsOf(t, opts.Config); len(faults) > 0 {
		t.Errorf("put back in order: %q", faults)
	}
	empty := opts.Config
	empty.Data.Folder = t.TempDir()
	if _, err := Check(context.Background(), empty, false); !errors.Is(err, ErrForeign) {
		t.Errorf("an empty folder: %v", err)
	}
}
