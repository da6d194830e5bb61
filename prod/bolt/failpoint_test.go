//go:build failpoints

package bolt

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pingcap/failpoint"
	"go.etcd.io/bbolt"

	"granary/core/kv"
	"granary/core/rt"
	"granary/prod/sched"
)

const here = "granary/prod/bolt/"

// at runs f once, when the store passes the named point, and fails the test if it never does.
func at(t *testing.T, name string, f func()) {
	t.Helper()
	passed := false
	err := failpoint.EnableCall(here+"step", func(at string) {
		if at == name && !passed {
			passed = true
			f()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		failpoint.Disable(here + "step")
		if !passed {
			t.Errorf("%s was never passed: was this built through failpoint-toolexec?", name)
		}
	})
}

// survivor opens a copy of the file as a crash of the process at this moment would leave it, and returns its
// keys.
func survivor(t *testing.T, path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	path = filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Error(err)
	}
	if _, err := Check(path, 0, nil); err != nil {
		t.Error(err)
	}
	s, err := Open(sched.New(rt.NodeID{1}, sched.Options{}), path, DefaultOptions())
	if err != nil {
		t.Error(err)
		return ""
	}
	defer s.Close()
	return keys(s)
}

func TestFailpointCrashBeforeCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv")
	s, _ := open(t, path, DefaultOptions())
	if err := put(s, "old", ""); err != nil {
		t.Fatal(err)
	}
	at(t, "commit-before", func() {
		if got := survivor(t, path); got != "old" {
			t.Errorf("after a crash before the commit: %q", got)
		}
		if got := keys(s); got != "old" {
			t.Errorf("visible before the commit: %q", got)
		}
	})
	if err := put(s, "new", ""); err != nil || keys(s) != "new old" {
		t.Errorf("put: %v; keys %q", err, keys(s))
	}
}

func TestFailpointCrashAfterCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv")
	s, _ := open(t, path, DefaultOptions())
	if err := put(s, "old", ""); err != nil {
		t.Fatal(err)
	}
	at(t, "commit-after", func() {
		if got := survivor(t, path); got != "new old" {
			t.Errorf("after a crash between commit and answer: %q", got)
		}
		if got := keys(s); got != "old" {
			t.Errorf("visible before the answer: %q", got)
		}
	})
	if err := put(s, "new", ""); err != nil || keys(s) != "new old" {
		t.Errorf("put: %v; keys %q", err, keys(s))
	}
}

func TestFailpointSyncFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv")
	told := 0
	opts := DefaultOptions()
	opts.Failed = func(error) { told++ }
	s, _ := open(t, path, opts)
	if err := put(s, "old", ""); err != nil {
		t.Fatal(err)
	}
	if err := failpoint.Enable(here+"commit-after", `1*return("I/O error")`); err != nil {
		t.Fatal(err)
	}
	defer failpoint.Disable(here + "commit-after")
	for _, key := range []string{"new", "newer"} { // the point fires once, the failure stays
		if err := put(s, key, ""); !errors.Is(err, kv.ErrFailed) {
			t.Errorf("put %s: %v", key, err)
		}
	}
	err := s.View(func(kv.Reader) error { t.Error("a view ran"); return nil })
	if !errors.Is(err, kv.ErrFailed) {
		t.Errorf("view: %v", err)
	}
	if err := s.Close(); !errors.Is(err, kv.ErrFailed) || told != 1 {
		t.Errorf("close: %v; told %d times", err, told)
	}
	// What the failed commit wrote may be there or not, whole.
	if got := survivor(t, path); got != "old" && got != "new old" {
		t.Errorf("after the restart: %q", got)
	}
}

// visibleTooEarly says what read shows of a commit that is written and not yet known to be durable.
func visibleTooEarly(t *testing.T, read func(s *Store) string) (early string) {
	s, _ := open(t, filepath.Join(t.TempDir(), "kv"), DefaultOptions())
	if err := put(s, "old", ""); err != nil {
		t.Fatal(err)
	}
	at(t, "commit-after", func() {
		if got := read(s); got != "old" {
			early = got
		}
	})
	if err := put(s, "new", ""); err != nil || keys(s) != "new old" {
		t.Errorf("put: %v; keys %q", err, keys(s))
	}
	failpoint.Disable(here + "step")
	return early
}

// TestRule10: nothing uncommitted is ever read; a failed fsync stops the node (TestFailpointSyncFails has
// more of that). A transaction of bbolt's own, opened at that moment, does see the commit: a store that read
// that way would be found out.
func TestRule10(t *testing.T) {
	if early := visibleTooEarly(t, func(s *Store) string { return keys(s) }); early != "" {
		t.Errorf("seen before it was durable: %q", early)
	}
	careless := func(s *Store) (all string) {
		s.db.View(func(tx *bbolt.Tx) error {
			return tx.Bucket(bucketName).ForEach(func(k, _ []byte) error {
				all += string(k) + " "
				return nil
			})
		})
		return strings.TrimSpace(all)
	}
	if early := visibleTooEarly(t, careless); early == "" {
		t.Error("a reader that takes what is there sees nothing early: the test cannot fail")
	}
}
