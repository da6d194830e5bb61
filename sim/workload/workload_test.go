package workload

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"granary/core/auth"
	"granary/core/rt"
	"granary/sim/check"
	"granary/sim/sched"
	"granary/sim/workload/wire"
)

// result is what a run left.
type result struct {
	h     *check.History
	hash  uint64
	stats Stats
	since int64
}

// simulate runs a plan against a store of three nodes, which crash and come back if crash is set.
func simulate(t *testing.T, seed uint64, s *store, crash bool, tweak func(*Options)) result {
	t.Helper()
	const nodes = 3
	sim := sched.New(sched.Options{Seed: seed, Shuffle: true, YieldPerMille: 20})
	defer sim.Stop()
	live := make([]*sched.Env, nodes)
	boot := func(i int) { live[i] = sim.NewEnv(rt.NodeID{byte(i + 1)}, fmt.Sprintf("n%d", i)) }
	for i := range nodes {
		boot(i)
	}
	world := sim.NewEnv(rt.NodeID{}, "world")
	o := Options{Nodes: nodes, Ops: 300}
	if tweak != nil {
		tweak(&o)
	}
	res := result{h: &check.History{}}
	c := Config{
		Sched: sim, Env: sim.NewEnv(rt.NodeID{99}, "clients"), Nodes: nodes, Bucket: testBucket,
		Region: testRegion,
		Key:    testKey, Secret: testSecret, Timeout: 5 * time.Second, Silent: 300, History: res.h,
		Link: wire.Link{Delay: time.Millisecond, Up: 10 << 20, Down: 10 << 20},
		Serve: func(n int) (*sched.Env, http.Handler, bool) {
			if live[n].Dead() {
				return nil, nil, false
			}
			return live[n], &testNode{s: s, n: n, env: live[n],
				verifier: &auth.Verifier{Region: testRegion, Service: "s3"}}, true
		},
	}
	running := true
	world.Go("crash", func() {
		r := world.Rand("crash")
		for crash && running {
			world.Sleep(rt.Forever, time.Duration(r.IntN(60))*time.Millisecond)
			i := r.IntN(nodes)
			live[i].Kill()
			world.Sleep(rt.Forever, time.Duration(r.IntN(200))*time.Millisecond)
			boot(i)
		}
	})
	done := false
	c.Env.Go("workload", func() {
		res.stats = Run(c, New(seed, o))
		running = false
		c.Env.Sleep(rt.Forever, 10*time.Second)
		var more Stats
		res.since, more = Verify(c)
		for _, name := range slices.Sorted(maps.Keys(more)) {
			res.stats[name] += more[name]
		}
		done = true
	})
	if err := sim.RunUntil(time.Hour, func() bool { return done }); err != nil {
		t.Fatal(err)
	}
	res.hash = sim.Hash()
	return res
}

func judge(t *testing.T, res result) map[check.Fault]int {
	t.Helper()
	v, err := check.Agree(res.h, 0)
	if err != nil {
		t.Error(err)
	}
	faults := map[check.Fault]int{}
	for _, x := range append(v.Violations, check.Durable(res.h, res.since)...) {
		faults[x.Fault]++
	}
	if len(v.Report.Unknown) > 0 {
		t.Errorf("porcupine gave up on %q", v.Report.Unknown)
	}
	return faults
}

// TestHonestStore wants no fault of a correct store, with and without crashes, and every kind to succeed.
func TestHonestStore(t *testing.T) {
	total := Stats{}
	for seed := range uint64(8) {
		res := simulate(t, seed, newStore(3), seed%3 > 0, nil)
		if faults := judge(t, res); len(faults) > 0 {
			t.Fatalf("seed %d: %v\n%v", seed, faults, check.Direct(res.h))
		}
		for name, n := range res.stats {
			total[name] += n
		}
	}
	t.Logf("\n%s", total)
	for _, want := range []string{"put 200", "put reset", "put timeout", "get 200", "get 404 NoSuchKey",
		"range 206", "range 416 InvalidRange", "head 200", "head 404 ", "delete 204", "delete-many 200",
		"list 200",
		"copy 200", "copy 404 NoSuchKey", "multipart 200", "abort 204", "abandon abandoned"} {
		if total[want] == 0 {
			t.Errorf("no %q", want)
		}
	}
	for name := range total {
		if strings.Contains(name, " 400") || strings.Contains(name, " 403") || strings.Contains(name,
			" 501") {
			t.Errorf("the store refused a request: %s", name)
		}
	}
}

// TestBrokenStores wants every planted fault to be caught by its name.
func TestBrokenStores(t *testing.T) {
	tests := []struct {
		name string
		set  func(*store)
		want []check.Fault
	}{
		{"stale cache", func(s *store) { s.stale = true }, []check.Fault{check.Stale, check.Resurrected}},
		{"lost delete", func(s *store) { s.lostDelete = true }, []check.Fault{check.Resurrected}},
		{"lost put", func(s *store) { s.lostPut = true }, []check.Fault{check.Lost}},
		{"bit flip", func(s *store) { s.flip = true }, []check.Fault{check.WrongBytes}},
		{"listing hides a key", func(s *store) { s.hide = true }, []check.Fault{check.ListMissing}},
		{"refused and stored", func(s *store) { s.takeBack = true }, []check.Fault{check.TakenBack}},
	}
	for _, tt := range tests {
		seen := map[check.Fault]int{}
		for seed := range uint64(3) {
			s := newStore(3)
			tt.set(s)
			for f, n := range judge(t, simulate(t, seed, s, false, nil)) {
				seen[f] += n
			}
		}
		for _, f := range tt.want {
			if seen[f] == 0 {
				t.Errorf("%s: no %q among %v", tt.name, f, seen)
			}
		}
	}
}

func TestSameSeedSameRun(t *testing.T) {
	a := simulate(t, 7, newStore(3), true, nil)
	b := simulate(t, 7, newStore(3), true, nil)
	c := simulate(t, 8, newStore(3), true, nil)
	if a.hash != b.hash || a.hash == c.hash {
		t.Errorf("hashes %x %x %x", a.hash, b.hash, c.hash)
	}
	if d := cmp.Diff(a.h.Ops, b.h.Ops); d != "" {
		t.Errorf("the histories differ:\n%s", d)
	}
}

func TestLargeObjects(t *testing.T) {
	res := simulate(t, 5, newStore(3), false, func(o *Options) { o.Ops, o.Large, o.Clients = 60, 300, 2 })
	if faults := judge(t, res); len(faults) > 0 {
		t.Fatal(faults, check.Direct(res.h))
	}
	parts, most := 0, int64(0)
	for _, op := range res.h.Ops {
		if strings.HasSuffix(op.ETag, "-2") {
			parts++
		}
		most = max(most, op.Size)
	}
	if parts == 0 || most < partSize {
		t.Errorf("%d sightings of two parts, largest object %d", parts, most)
	}
}

// TestPlanIsData wants a plan to survive JSON, and its lines to be drawn apart from each other's carrying
// out.
func TestPlanIsData(t *testing.T) {
	p := New(3, Options{})
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var q Plan
	if err := json.Unmarshal(text, &q); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p, q); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(p, New(3, Options{})); d != "" {
		t.Errorf("one seed, two plans:\n%s", d)
	}
	ids := map[uint64]bool{}
	for _, op := range p.Ops {
		if op.ID == 0 || ids[op.ID] {
			t.Fatalf("id %d", op.ID)
		}
		ids[op.ID] = true
		if strings.HasPrefix(op.From, copyPrefix) {
			t.Errorf("copy from %q, which is a copy", op.From)
		}
	}
}

func TestValueKnowsItself(t *testing.T) {
	v := value{id: 42, size: 10_000}
	r := rand.New(rand.NewPCG(1, 1))
	whole := make([]byte, v.size)
	v.fill(whole, 0)
	for range 200 {
		off := r.Int64N(v.size)
		n := r.Int64N(v.size - off)
		c := &verifier{v: v, off: off}
		c.Write(whole[off : off+n])
		if c.fault != "" || c.off != off+n {
			t.Fatalf("[%d, %d): %s", off, off+n, c.fault)
		}
		if n == 0 {
			continue
		}
		bad := slices.Clone(whole[off : off+n])
		at := r.Int64N(n)
		bad[at] ^= 1 << r.IntN(8)
		c = &verifier{v: v, off: off}
		c.Write(bad)
		if c.fault == "" {
			t.Fatalf("a flipped byte at %d of [%d, %d) passes", at, off, off+n)
		}
	}
	other := make([]byte, 100)
	value{id: 43, size: 100}.fill(other, 0)
	c := &verifier{v: v}
	c.Write(other)
	if !strings.Contains(c.fault, "v43") {
		t.Errorf("content of v43 for v42: %q", c.fault)
	}
}
