package fault

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"granary/netsim"
	"granary/sim/world"
)

// formed is a cluster of three machines a1, b1, c1 in three places.
func formed(t *testing.T) *world.World {
	t.Helper()
	w, err := world.New(world.Default(1, netsim.Regular("three", 3, 1,
		netsim.Path{Delay: 10 * time.Millisecond}, netsim.Path{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	if err := w.Form(); err != nil {
		t.Fatal(err)
	}
	return w
}

func run(t *testing.T, w *world.World, d time.Duration) {
	t.Helper()
	if err := w.Sched.Run(d); err != nil {
		t.Fatal(err)
	}
}

// TestEveryKindHappensAndEnds makes each fault and looks whether it is there, and whether it is gone at its
// end. TestSetBack makes the one that it leaves out.
func TestEveryKindHappensAndEnds(t *testing.T) {
	down := func(names ...string) func(w *world.World) bool {
		return func(w *world.World) bool {
			for _, m := range w.Machines {
				if m.Down() != slices.Contains(names, m.Name) {
					return false
				}
			}
			return true
		}
	}
	reaches := func(from, to string, want bool) func(w *world.World) bool {
		return func(w *world.World) bool {
			got, err := w.Net.Model().Reaches(from, to)
			return err == nil && got == want
		}
	}
	skew := func(w *world.World) time.Duration { return w.Machines[0].Env.Wall().Sub(w.Env.Wall()) }
	slow := func(w *world.World) bool { // of a call to a node that is there
		at, ok, err := w.Net.Model().Send(w.Sched.Now(), "a1", "b1", 100, func() uint64 { return 0 })
		return err != nil || !ok || at-w.Sched.Now() > 100*time.Millisecond
	}
	for _, tt := range []struct {
		line   string
		during func(w *world.World) bool
	}{
		{"0s crash a1 for 5s", down("a1")},
		{"0s kill a1 for 5s", down("a1")},
		{"0s pause a1 for 5s", func(w *world.World) bool { return w.Machines[0].Env.Paused() }},
		{"0s zone-loss b for 5s", down("b1")},
		{"0s restarts * 7 for 9s", func(w *world.World) bool { return !down()(w) }},
		{"0s torn-write a1 for 5s", func(w *world.World) bool { return w.Machines[0].Disk.Interrupt != nil }},
		{"0s sync-failure a1 1 for 5s", nil},
		{"0s store-failure a1 for 5s", nil},
		{"0s isolate a1 for 5s", reaches("a1", "b1", false)},
		{"0s partition a for 5s", reaches("a1", "b1", false)},
		{"0s one-way a>b for 5s", reaches("a1", "b1", false)},
		{"0s flap a 800ms for 5s", reaches("a1", "b1", false)}, // off at 0.8 s, on at 1.6 s
		{"0s latency a>b 200ms for 5s", slow},
		{"0s loss a>b 1000000 for 5s", slow},
		{"0s clock a1 -30s for 5s", func(w *world.World) bool { return skew(w) == -30*time.Second }},
		{"0s clock-jumps a1 30s for 5s", func(w *world.World) bool { return skew(w) != 0 }},
		{"0s slow-disk a1 9 for 5s", func(w *world.World) bool { return w.Machines[0].Disk.Slow == 9 }},
		{"0s dead-disk a1 for 5s", func(w *world.World) bool { return w.Machines[0].Disk.Dead }},
		{"0s full-disk a1 2 for 5s", func(w *world.World) bool {
			return w.Machines[0].Disk.Capacity == 8192
		}},
		{"0s rot a1 3 for 5s", nil},
		{"0s bad-sector a1 3 for 5s", nil},
		{"0s misdirected-write a1 2 for 5s", func(w *world.World) bool {
			return w.Machines[0].Disk.MisdirectNext == 2
		}},
		{"0s lost-blocks a1 for 5s", nil},
		{"0s lost-store a1 for 5s", down("a1")},
		{"0s layout-change a1 3 for 5s", nil},
		{"0s row-rot a1 0 for 5s", nil},
	} {
		t.Run(tt.line, func(t *testing.T) {
			t.Parallel()
			w := formed(t)
			e, err := Parse(tt.line)
			if err != nil {
				t.Fatal(err)
			}
			in := Start(w, []Event{e})
			run(t, w, 2*time.Second)
			if tt.during != nil && !tt.during(w) {
				t.Error("it is not there")
			}
			if in.Counts()[e.Kind] != 1 {
				t.Errorf("counted as %v", in.Counts())
			}
			run(t, w, e.For+time.Minute)
			if tt.during != nil && tt.during(w) && e.Kind != TornWrite || !down()(w) {
				t.Error("it is still there")
			}
			for _, m := range w.Machines {
				if m.Env.Dead() || m.Node.Cluster().Status().Layout == nil {
					t.Errorf("machine %s does not work", m.Name)
				}
			}
		})
	}
}

// TestFaultsOverlap: a fault that ends does not end another one that is of the same machine or path.
func TestFaultsOverlap(t *testing.T) {
	w := formed(t)
	in := Start(w, []Event{
		{At: 0, Kind: Crash, On: "a1", For: 10 * time.Second}, {At: time.Second, Kind: ZoneLoss, On: "a",
			For: 2 * time.Second},
		{At: 0, Kind: Isolate, On: "b1", For: 10 * time.Second},
		{At: time.Second, Kind: Partition, On: "b", For: 2 * time.Second},
		{At: 0, Kind: Kill, On: "c1"},
	})
	run(t, w, 5*time.Second)
	if ok, _ := w.Net.Model().Reaches("b1", "c1"); ok || !w.Machines[0].Down() {
		t.Error("the later fault ended the earlier one")
	}
	in.Heal()
	run(t, w, 5*time.Second)
	if ok, _ := w.Net.Model().Reaches("b1", "c1"); !ok || w.Machines[0].Down() || !w.Machines[2].Down() {
		t.Error("Heal heals all but what is for good")
	}
	in.HealAll()
	run(t, w, 5*time.Second)
	if w.Machines[2].Down() {
		t.Error("HealAll heals what is for good, too")
	}
}

func TestText(t *testing.T) {
	topology := netsim.Regular("three", 3, 2, netsim.Path{}, netsim.Path{})
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		s := Scope{Topology: topology, Length: time.Minute, Forever: seed%2 == 0}
		for _, e := range Draw(r, s, s.Victims(r)) {
			got, err := Parse(e.String())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(e, got); d != "" {
				t.Errorf("%v: %s", e, d)
			}
		}
	}
	for line, want := range map[string]string{
		"":                           "want AFTER KIND ON",
		"0s crash a1":                "want AFTER KIND ON",
		"soon crash a1 for 1s":       "no time from 0 on",
		"0s smash a1 for 1s":         `there is no kind "smash"`,
		"0s crash a>b for 1s":        "not what a crash hits",
		"0s one-way a for 1s":        "not what a one-way hits",
		"0s crash a1 for ever":       "no time above 0",
		"0s crash a1 3 for 1s":       "1 amounts",
		"0s slow-disk a1 for 1s":     "0 amounts",
		"0s slow-disk a1 x for 1s":   `"x" is no amount`,
		"0s latency a>b fast for 1s": `"fast" is no amount`,
	} {
		if _, err := Parse(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", line, err, want)
		}
	}
}

// TestDrawnWithinBounds: what harms hits victims only, power is not cut where nothing is synced, and every
// kind is drawn but those that the store does not survive in every case.
func TestDrawnWithinBounds(t *testing.T) {
	seen, someDrained := map[Kind]int{}, false
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := Scope{Topology: netsim.Regular("some", 1+int(seed%3), 3, netsim.Path{}, netsim.Path{}),
			Length: time.Minute, NoSync: seed%4 == 0, Forever: seed%2 == 0}
		victims := s.Victims(r)
		if want := 1; len(victims) != want && s.zoneOf(victims[0]) != s.zoneOf(victims[len(victims)-1]) {
			t.Fatalf("victims %v", victims)
		}
		drained := map[string]bool{}
		for _, e := range Draw(r, s, victims) {
			f, _ := e.Kind.info()
			seen[e.Kind]++
			if e.Kind == LayoutChange && e.Amount == 0 {
				drained[e.On] = true
			}
			if f.Harm && !slices.Contains(victims, e.On) {
				t.Errorf("seed %d: %v hits no victim of %v", seed, e, victims)
			}
			if f.Cuts && s.NoSync || f.Awaits != "" {
				t.Errorf("seed %d: %v", seed, e)
			}
			mine := s.zoneOf(victims[0])
			if e.For == 0 && !slices.Contains(victims, e.On) && e.On != mine && e.To != mine {
				t.Errorf("seed %d: %v for good", seed, e)
			}
		}
		zones, left := map[string]bool{}, 0
		for _, n := range s.Topology.Nodes {
			if !drained[n.Name] {
				zones[n.Zone] = true
				left++
			}
		}
		if len(zones) < len(s.Topology.Zones) || left < 3 {
			t.Errorf("seed %d: %v may all be drained at a time", seed, drained)
		}
		someDrained = someDrained || len(drained) > 0
	}
	if !someDrained {
		t.Error("no node is ever drained")
	}
	for _, f := range Kinds() {
		if (seen[f.Kind] > 0) == (f.Awaits != "") {
			t.Errorf("%s was drawn %d times, it awaits %q", f.Kind, seen[f.Kind], f.Awaits)
		}
	}
}

// TestSetBack: a machine is set back only once all others have stored that they heard more of its store than
// the image has, and while no other machine's store is lost; then it is noticed, and becomes another store.
func TestSetBack(t *testing.T) {
	for _, tt := range []struct {
		name    string
		with    []string
		at      time.Duration // until then it does not happen
		happens bool
	}{
		{"nothing is missing", nil, time.Minute, false},
		{"started since", []string{"1s kill a1 for 1s"}, 2 * time.Second, true},
		{"one hears late", []string{"1s kill a1 for 1s", "500ms isolate b1 for 20s"}, 20 * time.Second, true},
		{"one is down", []string{"1s kill a1 for 1s", "500ms crash b1 for 20s"}, 20 * time.Second, true},
		{"another is lost", []string{"4s kill a1 for 1s", "0s lost-store b1 for 10s"}, 12 * time.Second,
			true},
		{"only one knows", []string{"1s kill a1 for 1s", "500ms isolate b1 for 10m"}, time.Minute, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := formed(t)
			a := w.Machines[0]
			before := a.Node.Cluster().Pulse().Store
			var plan []Event
			for _, line := range append([]string{"0s set-back a1 for 3s"}, tt.with...) {
				e, err := Parse(line)
				if err != nil {
					t.Fatal(err)
				}
				plan = append(plan, e)
			}
			in := Start(w, plan)
			run(t, w, tt.at)
			if n := in.Counts()[SetBack]; n > 0 {
				t.Errorf("%d times before %v", n, tt.at)
			}
			if tt.happens {
				run(t, w, time.Minute)
			}
			in.HealAll()
			run(t, w, time.Minute)
			if n := in.Counts()[SetBack]; (n == 1) != tt.happens {
				t.Errorf("%d times at the end", n)
			}
			if !a.Trusted() || !a.Whole() {
				t.Fatal("the machine does not work")
			}
			if other := !bytes.Equal(a.Node.Cluster().Pulse().Store, before); other != tt.happens {
				t.Errorf("it has another store: %v", other)
			}
		})
	}
}
