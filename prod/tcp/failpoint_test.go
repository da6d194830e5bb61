//go:build failpoints

// The tests of this file need the failpoints compiled in; how is told in prod/diskfs.

package tcp

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pingcap/failpoint"

	"granary/core/rpc"
	"granary/core/rt"
)

const prefix = "granary/prod/tcp/"

func enable(t *testing.T, name string) {
	t.Helper()
	if err := failpoint.Enable(prefix+name, `1*return("here")`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { failpoint.Disable(prefix + name) })
}

// A key is loaded again after an end at any step, and never half of one.
func TestKeyCrash(t *testing.T) {
	for _, step := range []string{"key-created", "key-synced", "key-renamed"} {
		path := filepath.Join(t.TempDir(), "node.key")
		enable(t, step)
		if _, err := LoadOrCreateKey(path); err == nil || !strings.Contains(err.Error(), "failpoint: here") {
			t.Errorf("%s: %v, want the injected error", step, err)
		}
		first, err := LoadOrCreateKey(path)
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		if again, err := LoadOrCreateKey(path); err != nil || again != first {
			t.Errorf("%s: another key was loaded, %v", step, err)
		}
	}
}

// A connection that breaks under a call fails it, and is replaced.
func TestBrokenConnections(t *testing.T) {
	for _, point := range []string{"write", "read"} {
		var eps [2]*rpc.Endpoint
		for i, n := range []byte{30, 40} {
			nd := node(t, n)
			nd.Transport.Admit(func(rt.NodeID) bool { return true })
			cfg := rpc.DefaultConfig()
			cfg.Clock = stoppedClock{}
			eps[i] = rpc.New(nd.Env, nd.Transport, cfg)
			t.Cleanup(func() { eps[i].Close() })
		}
		eps[0].SetHooks(allTo(eps[1].Addr()))
		rpc.Handle(eps[1], benchCall, echo)
		eps[0].Start()
		eps[1].Start()
		call := func() error {
			_, err := benchCall.Call(context.Background(), eps[0], eps[1].Self(), small())
			return err
		}
		if err := call(); err != nil {
			t.Fatal(err)
		}
		enable(t, point)
		if err := call(); !errors.Is(err, rpc.ErrConnLost) {
			t.Errorf("%s: %v, want ErrConnLost", point, err)
		}
		if err := call(); err != nil {
			t.Errorf("%s: the call after it: %v", point, err)
		}
	}
}
