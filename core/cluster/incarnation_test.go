package cluster

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"granary/core/kv"
	"granary/core/kv/memkv"
)

// machineLife is a store that lives, stops, and is set back to backups of itself.
type machineLife struct {
	boot, seq uint64 // durable
	nonce     uint64 // of this life
	started   uint64 // seq at its start
	nonces    uint64
	backups   [][2]uint64
}

func (l *machineLife) start() {
	l.boot++
	l.nonces++
	l.nonce, l.started = l.nonces, l.seq
}

func (l *machineLife) is() Incarnation {
	return Incarnation{Store: []byte("store"), Boot: l.boot, Nonce: l.nonce, Seq: l.seq}
}

// TestMarks: whatever a store has lived through, a witness that heard of updates which are not there any more
// disowns it, as long as it is the same store; one that heard of nothing that is gone never does.
func TestMarks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &machineLife{}
		l.start()
		var m mark
		var heard uint64 // the greatest seq that the witness heard of
		gone := false    // and of something that is not there any more
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			steps := []string{"update", "ping", "backup", "restart", "set back"}
			switch rapid.SampledFrom(steps).Draw(t, "step") {
			case "update":
				l.seq += uint64(rapid.IntRange(1, 3).Draw(t, "updates"))
			case "ping":
				m = m.heard(l.is())
				heard = max(heard, l.seq)
			case "backup":
				l.backups = append(l.backups, [2]uint64{l.boot, l.seq})
			case "restart":
				l.start()
			case "set back":
				if len(l.backups) == 0 {
					continue
				}
				at := rapid.SampledFrom(l.backups).Draw(t, "backup")
				l.boot, l.seq = at[0], at[1]
				gone = gone || heard > l.seq
				l.start()
			}
			if why := m.disowns(l.is(), l.started); gone && why == "" {
				t.Fatalf("%+v does not disown %+v, started with %d", m, l.is(), l.started)
			}
		}
	})
}

// TestMarksOfHonestStores: a store that was never set back is not disowned, nor one that took the place of
// another.
func TestMarksOfHonestStores(t *testing.T) {
	l := &machineLife{}
	var m mark
	for boot := range 5 {
		l.start()
		for range 3 {
			if why := m.disowns(l.is(), l.started); why != "" {
				t.Fatalf("boot %d: %s", boot, why)
			}
			l.seq++
			m = m.heard(l.is())
		}
	}
	other := l.is()
	other.Store, other.Boot, other.Seq = []byte("another"), 1, 0
	if why := m.disowns(other, 0); why != "" {
		t.Errorf("another store: %s", why)
	}
	if m = m.heard(other); m.Seq != 0 || m.Boot != 1 {
		t.Errorf("the mark of another store is %+v", m)
	}
}

// TestStartedStoresAreUnsure: a store that was started answers for nothing before it was compared, unless
// there is nobody to compare it with (invariant 9).
func TestStartedStoresAreUnsure(t *testing.T) {
	for n, want := range map[int]bool{1: false, 3: true} {
		w := newTown(t, 7, 3)
		w.form(n)
		m := w.machines[0]
		w.run(5e9)
		store := memkv.Open(m.env, m.image.Copy(), memkv.Options{})
		done := false
		m.env.Go("start", func() {
			defer func() { done = true }()
			err := store.Update(m.env.Background(), func(kw kv.Writer) error {
				return Started(kw, m.env.Self())
			})
			if err != nil {
				t.Error(err)
			}
			_ = store.View(func(r kv.Reader) error {
				g, ok := ReadGuard(r)
				if !ok || g.Unsure != want || g.Synced != 1 {
					t.Errorf("%d nodes: guard %+v, want unsure %v", n, g, want)
				}
				plan := Plan{Newest: 1, Anchor: 1}
				reads := AdmitRead(m.env, r, plan)
				writes, err := AdmitWrite(m.env, r, plan)
				source := AdmitSync(m.env, r, Source{Fenced: 1, Synced: 1})
				if errors.Is(reads, ErrSyncing) != want || writes == want || err != nil ||
					(source != nil) != want {
					t.Errorf("%d nodes: answers reads %v, writes %v, is a source: %v", n, reads, writes,
						fmt.Sprint(source))
				}
				return nil
			})
		})
		w.within(1e10, func() bool { return done })
	}
}
