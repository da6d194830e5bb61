package durable

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestWrite: after an error at any step the file is the one from before, or the new one, and nothing else is
// left.
func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for _, tt := range []struct{ at, want string }{{"created", "old"}, {"synced", "old"}, {"renamed", "new"},
		{"", "newer"}} {
		var steps []string
		err := Write(path, []byte(tt.want), func(step string) error {
			if steps = append(steps, step); step == tt.at {
				return broken
			}
			return nil
		})
		if errors.Is(err, broken) != (tt.at != "") || tt.at == "" && err != nil {
			t.Errorf("broken at %q: %v after %q", tt.at, err, steps)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != tt.want {
			t.Errorf("broken at %q: %q, %v", tt.at, got, err)
		}
		if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 1 {
			t.Errorf("broken at %q: %v, %v", tt.at, list, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := Write(filepath.Join(path, "below"), nil, func(string) error { return nil }); err == nil {
		t.Error("a file below a file")
	}
	if err := SyncFolder(filepath.Join(path, "below")); err == nil {
		t.Error("a folder below a file")
	}
}
