package cluster

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"granary/core/kv"
	"granary/core/kv/memkv"
)

// machineLife is a store that lives, stops, and is set back to backups of itself.
type machineLife struct {
	image
	nonce, nonces uint64 // of this life, and how many there were
}

// image is what of it is durable.
type image struct {
	boot, seq, base uint64
	trusted         bool
	updates         []int // by number
}

func (l *machineLife) start() {
	if l.trusted {
		l.base = l.seq
	}
	l.boot++
	l.nonces++
	l.nonce, l.trusted = l.nonces, false
}

func (l *machineLife) is() Incarnation {
	return Incarnation{Store: []byte("store"), Boot: l.boot, Nonce: l.nonce, Seq: l.seq}
}

// TestMarks: whatever a store has lived through, a witness that heard of updates which are not there any more
// disowns it when they compare, which they do before it is trusted; one that was never set back is not
// disowned.
func TestMarks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &machineLife{image: image{trusted: true}}
		l.start()
		var m mark
		var heard, backups = []int(nil), []image(nil) // updates that the witness heard of
		made, back := 0, false                        // updates; whether the store was set back
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			steps := []string{"update", "compare", "ping", "backup", "restart", "set back"}
			switch rapid.SampledFrom(steps).Draw(t, "step") {
			case "update":
				made++
				l.seq, l.updates = l.seq+1, append(slices.Clone(l.updates), made)
			case "compare":
				why := m.disowns(l.is(), l.base)
				gone := slices.ContainsFunc(heard, func(n int) bool { return !slices.Contains(l.updates, n) })
				if gone && why == "" || why != "" && !back {
					t.Fatalf("%+v of %+v, base %d: %q; something is gone: %v", m, l.is(), l.base, why, gone)
				}
				if why != "" {
					return // it is another store from here on
				}
				l.trusted = true
			case "ping":
				if l.trusted {
					m, heard = m.heard(l.is()), append(heard, l.updates...)
				}
			case "backup":
				backups = append(backups, l.image)
			case "restart":
				l.start()
			case "set back":
				if len(backups) > 0 {
					at := rapid.IntRange(0, len(backups)-1).Draw(t, "backup")
					l.image, backups = backups[at], backups[:at+1] // what came later is of another history
					back = true
					l.start()
				}
			}
		}
	})
}

// TestMarksOfHonestStores: a store that was never set back is not disowned, nor one that took the place of
// another.
func TestMarksOfHonestStores(t *testing.T) {
	l := &machineLife{image: image{trusted: true}}
	var m mark
	for boot := range 5 {
		l.start()
		for range 3 {
			if why := m.disowns(l.is(), l.base); why != "" {
				t.Fatalf("boot %d: %s", boot, why)
			}
			l.trusted = true
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
				_, err := Started(kw, m.env.Self())
				return err
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
