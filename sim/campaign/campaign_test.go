package campaign

import (
	"strings"
	"testing"

	"granary/sim/fault"
	"granary/sim/sched"
)

// seeds is how many simulations the tests run; make sim runs more.
const seeds = 50

// TestSeeds runs whole clusters under faults and demands that no checker has anything to say.
func TestSeeds(t *testing.T) {
	results := make(chan *Result, seeds)
	t.Run("seed", func(t *testing.T) {
		for seed := range uint64(seeds) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				r := Seed(seed, Options{})
				results <- r
				if r.Failed() {
					var b strings.Builder
					r.Report(&b)
					t.Error(b.String())
				}
			})
		}
	})
	close(results)
	total := NewTotal()
	for r := range results {
		total.Add(r)
		if r.Ops < 300 {
			t.Errorf("seed %d: %d operations, want at least 300", r.Seed, r.Ops)
		}
	}
	t.Log(total)
	for _, k := range fault.Kinds() {
		if total.Faults[k] == 0 {
			t.Errorf("no fault of kind %q in %d seeds", k, seeds)
		}
	}
	if len(total.Hashes) != seeds {
		t.Errorf("%d distinct hashes of %d seeds", len(total.Hashes), seeds)
	}
	for _, rare := range []string{"read repair", "write stamped anew", "block read hedged",
		"listing took a second round",
		"a replaced version was reclaimed", "an upload was reclaimed", "the audit released an orphan",
		"guessed block was right", "anti-entropy brought a row", "anti-entropy after a hint",
		"k2v poll woken", "k2v write tried at another replica", "k2v write was there already"} {
		if total.Sometimes[rare] == 0 {
			t.Errorf("no seed of %d reached %q", seeds, rare)
		}
	}
}

// TestSameSeedSameHash replays a seed with everything on; when the hashes differ it names the first event in
// which the runs differ.
func TestSameSeedSameHash(t *testing.T) {
	for seed := range uint64(3) {
		a, b := Seed(seed, Options{}), Seed(seed, Options{Log: func(sched.Line) {}})
		if a.Hash == b.Hash {
			continue
		}
		i := 0
		for i < min(len(a.Checks), len(b.Checks)) && a.Checks[i] == b.Checks[i] {
			i++
		}
		window := [2]uint64{uint64(i) * sched.CheckpointEvery, uint64(i+1) * sched.CheckpointEvery}
		x, y := Seed(seed, Options{Window: window}), Seed(seed,
			Options{Window: window, Log: func(sched.Line) {}})
		t.Errorf("seed %d: %s", seed, sched.FirstDifference(x.Trace, y.Trace))
	}
}

// TestMutants breaks protocol steps and demands that a checker notices within a few seeds.
func TestMutants(t *testing.T) {
	for _, tt := range []struct {
		name  string
		seeds uint64
		items bool
	}{
		{"quorum of one", 5, false},
		{"anti-entropy: row without its parts", 5, false},
		{"anti-entropy: newer is equal", 5, false},
		{"anti-entropy: full-copy tables only", 5, false},
		{"reclaim: abort beats commit", 5, false},
		{"reclaim: references keyed by upload", 5, false},
		{"k2v context dropped", 5, true},
		{"k2v merge by last writer", 5, true},
		{"k2v token over siblings", 5, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range tt.seeds {
				o := Options{Mutants: []string{tt.name}, Items: tt.items}
				if r := Seed(seed, o); len(r.Violations) > 0 {
					t.Logf("caught by seed %d: %v", seed, r.Violations[0])
					return
				}
			}
			t.Errorf("nobody noticed in %d seeds", tt.seeds)
		})
	}
}
