package lint

import (
	"slices"
	"strings"
	"sync"
	"testing"
)

var listOnce = sync.OnceValues(func() ([]Package, error) {
	root, err := Root(".")
	if err != nil {
		return nil, err
	}
	return List(root)
})

func rootOf(t *testing.T) string {
	t.Helper()
	root, err := Root(".")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func listOf(t *testing.T, root string) []Package {
	t.Helper()
	filesOf(t) // so that a cached result falls with any file: the go command reads them unseen
	list, err := listOnce()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatalf("go list found no package in %s", root)
	}
	return list
}

func granaryLattice(t *testing.T) *Lattice {
	t.Helper()
	l, err := Granary()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLattice judges every import of the tree.
func TestLattice(t *testing.T) {
	l := granaryLattice(t)
	for _, p := range listOf(t, rootOf(t)) {
		if p.Err != "" {
			t.Errorf("%s cannot be listed: %s", p.Path, p.Err)
		}
		for _, fault := range l.Check(p) {
			t.Error(fault)
		}
	}
}

// TestLatticeRefuses holds one import for every rule: what must be refused, with a word of the reason, and
// what must not (empty).
func TestLatticeRefuses(t *testing.T) {
	l := granaryLattice(t)
	cases := []struct {
		from, imp  string
		test       bool
		wantReason string
	}{
		{"core/kv", "granary/core/crdt", false, ""},
		{"core/kv", "granary/core/rpc", false, "lower ranks only"},
		{"core/kv", "granary/core/rpc", true, "lower ranks only"},
		{"core/rt", "granary/core/node", false, "only sim/world, prod/daemon may"},
		{"core/quorum", "granary/core/table", false, "lower ranks only"},
		{"core/object", "granary/core/k2v", false, "lower ranks only"},
		{"core/codec", "granary/core/hlc", false, "lower ranks only"},
		{"core/table", "granary/core/unheard", false, "no rank"},
		{"core/kv/memkv", "granary/core/kv", false, ""},
		{"core/kv/memkv", "granary/core/kv/kvtest", true, ""},
		{"core/kv/memkv", "granary/core/kv/kvtest", false, "conformance suite"},
		{"core/kv", "granary/core/kv/memkv", false, "[children]"},
		{"core/kv", "granary/core/kv/memkv", true, ""},
		{"core/kv/memkv", "granary/core/kv/group", false, ""},
		{"core/kv/group", "granary/core/kv/memkv", false, "[children]"},
		{"core/layout/plan", "granary/core/layout", false, ""},
		{"core/api/s3", "granary/core/api/admin", false, "[children]"},
		{"core/api/s3", "granary/core/auth", false, ""},
		{"core/table", "granary/core/auth", false, "HTTP edge"},
		{"core/auth", "granary/core/hlc", false, ""},
		{"core/table", "granary/netsim", false, "which world"},
		{"core/table", "granary/netsim", true, ""},
		{"core/table", "granary/sim/sched", false, "which world"},
		{"core/table", "granary/sim/sched", true, ""},
		{"core/table", "granary/prod/sched", true, "which world"},
		{"core/kv/kvtest", "granary/sim/sched", false, "which world"},
		{"core/node", "granary/core/node", true, ""},
		{"netsim", "granary/core/rt", false, "usable without the product"},
		{"netsim", "granary/netsim/wan", false, "real time"},
		{"sim/world", "granary/core/node", false, ""},
		{"sim/workload", "granary/core/node", false, "only sim/world"},
		{"sim/world", "granary/prod/sched", false, "real time and real sockets"},
		{"sim/check", "granary/core/object", false, ""},
		{"sim/check", "granary/core/table", false, "value types"},
		{"sim/check", "granary/sim/world", false, "value types"},
		{"sim/disk", "granary/core/block/disktest", true, ""},
		{"sim/disk", "granary/core/block/disktest", false, "conformance suite"},
		{"prod/daemon", "granary/core/node", false, ""},
		{"prod/cli", "granary/core/node", false, "only sim/world"},
		{"prod/tcp", "granary/sim/net", false, "must not contain the simulator"},
		{"bench/load", "granary/prod/daemon", false, "starts the binary"},
		{"bench/micro", "granary/prod/bolt", false, ""},
		{"bench/crash", "granary/sim/check", false, ""},
		{"plots", "granary/core/rt", false, "data files"},
		{"sim/lint", "granary/core/rt", false, "tree as text"},
		{"core/kv", "os", false, "add it to the allow-list"},
		{"core/kv", "os", true, ""},
		{"core/kv/kvtest", "testing", false, ""},
		{"core/kv", "testing", false, "add it to the allow-list"},
		{"core/auth", "crypto/x509", false, "add it to the allow-list"},
		{"core/auth", "crypto/hmac", false, ""},
		{"prod/tcp", "crypto/x509", false, ""},
		{"core/rt", "C", false, "cgo"},
		{"core/block", "github.com/klauspost/compress/zstd", false, ""},
		{"core/block", "github.com/klauspost/compress/s2", false, "[third-party]"},
		{"core/kv", "pgregory.net/rapid", false, "property tests"},
		{"core/kv", "pgregory.net/rapid", true, ""},
		{"core/kv/kvtest", "pgregory.net/rapid", false, ""},
		{"core/layout", "gonum.org/v1/gonum/optimize", false, "never decide"},
		{"core/layout/plan", "gonum.org/v1/gonum/optimize", false, ""},
		{"core/kv", "go.etcd.io/bbolt", false, "chosen by prod"},
		{"sim/check", "github.com/anishathalye/porcupine", false, ""},
		{"prod/cli", "github.com/minio/minio-go/v7", false, "witness"},
		{"core/auth", "github.com/minio/minio-go/v7/pkg/signer", true, ""},
		{"sim/world", "golang.org/x/tools/go/packages", false, "analyzer"},
		{"core/rt", "golang.org/x/sync/errgroup", false, "[third-party]"},
	}
	for _, c := range cases {
		p := Package{Path: c.from, Imports: []string{c.imp}}
		if c.test {
			p = Package{Path: c.from, TestImports: []string{c.imp}}
		}
		got := strings.Join(l.Check(p), "\n")
		if c.wantReason == "" && got != "" || !strings.Contains(got, c.wantReason) {
			t.Errorf("%s imports %s (test: %v): got %q, want the reason to have %q",
				c.from, c.imp, c.test, got, c.wantReason)
		}
	}
}

// TestLatticeKnowsEveryPlace checks that a package outside the drawing is refused, not passed over.
func TestLatticeKnowsEveryPlace(t *testing.T) {
	l := granaryLattice(t)
	for _, path := range []string{"core/util", "tools", "granary"} {
		if len(l.Check(Package{Path: path})) == 0 {
			t.Errorf("%s was accepted", path)
		}
	}
}

func TestParseLatticeRefuses(t *testing.T) {
	for _, text := range []string{
		"rt | before any section", "[nosuch]", "[ranks]\nrt", "[ranks]\nrt | ", "[ranks]\n | why",
	} {
		if _, err := ParseLattice(text); err == nil {
			t.Errorf("ParseLattice(%q) succeeded", text)
		}
	}
}

// TestStdListIsSorted keeps the allow-lists readable and free of doubles.
func TestStdListIsSorted(t *testing.T) {
	var names []string
	for _, r := range granaryLattice(t).std {
		names = append(names, r.key())
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("[std] is not in order, or lists a package twice: %v", names)
	}
}
