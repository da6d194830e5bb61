package transition

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"granary/core/cluster"
	"granary/core/layout"
	"granary/core/rt"
	"granary/sim/sched"
)

// fleet is nodes that take over from each other, without anything to be moved.
type fleet struct {
	t       *testing.T
	r       *rand.Rand
	now     time.Duration
	dead    rt.NodeID // answers nobody, and takes nothing over
	nodes   []*mover
	places  map[rt.NodeID]places
	sending map[rt.NodeID]int
}

// mover is one of them.
type mover struct {
	id     rt.NodeID
	shares []share
	near   []rt.NodeID
	taken  map[taking]bool
	agenda *agenda
	going  []transfer
}

type transfer struct {
	peer  rt.NodeID
	batch []share
}

// change makes two versions of a cluster of four zones; the second has another zone's worth of nodes.
func change(t *testing.T, r *rand.Rand) (before, newest *layout.Version) {
	t.Helper()
	var roles []layout.Role
	for i := range 8 + r.IntN(12) {
		roles = append(roles, layout.Role{Node: rt.NodeID{byte(i + 1)}, Capacity: 1 << 40,
			Zone: layout.ZoneName(fmt.Sprint("z", i%4))})
	}
	params := layout.DefaultParams()
	params.Partitions = 256
	come := 1 + r.IntN(4)
	before, err := layout.Assign(roles[:len(roles)-come], params, nil)
	if err != nil {
		t.Fatal(err)
	}
	gone := r.IntN(2)
	if newest, err = layout.Assign(roles[gone:], params, before); err != nil {
		t.Fatal(err)
	}
	return before, newest
}

func newFleet(t *testing.T, seed uint64) *fleet {
	t.Helper()
	f := &fleet{t: t, r: rand.New(rand.NewPCG(seed, 1)), places: map[rt.NodeID]places{},
		sending: map[rt.NodeID]int{}}
	before, newest := change(t, f.r)
	for _, id := range newest.StorageNodes() {
		m := &mover{id: id, near: before.StorageNodes(), taken: map[taking]bool{}}
		goal := cluster.Goal{Version: 2, Newest: 2}
		if slices.Contains(m.near, id) {
			goal.Synced = 1
		}
		f.r.Shuffle(len(m.near), func(i, j int) { m.near[i], m.near[j] = m.near[j], m.near[i] })
		turns, parts := layout.Turns(before, newest, id), layout.PartTurns(before, newest)
		for p := range layout.Partition(newest.Params.Partitions) {
			first, last := p.Range(newest.Params.Partitions)
			view := cluster.View{Layout: 2, Live: []layout.Set{before.Set(first), newest.Set(first)}}
			if s, ok := goal.Share(id, view); ok {
				turn, moves := turns[p]
				if !moves {
					turn.Wave = 1 << 20
				}
				m.shares = append(m.shares, share{part{first, last, false}, s, parts[p], turn})
			}
		}
		slices.SortStableFunc(m.shares, share.earlier)
		f.nodes = append(f.nodes, m)
	}
	for _, id := range before.StorageNodes() {
		f.places[id] = newPlaces(layout.TransfersPerNode)
	}
	f.dead = before.StorageNodes()[f.r.IntN(len(before.StorageNodes()))]
	return f
}

// begin begins a transfer of m, if there is one and it has a task for it.
func (f *fleet) begin(m *mover) {
	if len(m.going) == layout.TransfersPerNode {
		return
	}
	if m.agenda == nil {
		m.agenda = newAgenda(m.id, m.shares, m.near, m.taken)
	}
	peer, batch, idle := m.agenda.next(f.now)
	switch {
	case idle:
		m.agenda = nil // another round
	case len(batch) == 0:
	case peer == f.dead:
		m.agenda.end(f.now, peer, batch, errors.New("dead"))
	case !f.places[peer].take(m.id, f.now):
		m.agenda.end(f.now, peer, batch, ErrBusy)
	default:
		m.going = append(m.going, transfer{peer, batch})
		if f.sending[peer]++; f.sending[peer] > layout.TransfersPerNode {
			f.t.Fatalf("%v sends to %d at once", peer, f.sending[peer])
		}
	}
}

// end ends one of the transfers of m; some fail.
func (f *fleet) end(m *mover) {
	if len(m.going) == 0 {
		return
	}
	i := f.r.IntN(len(m.going))
	done := m.going[i]
	m.going = slices.Delete(m.going, i, i+1)
	var err error
	if f.r.IntN(10) == 0 {
		err = errors.New("interrupted")
	}
	m.agenda.end(f.now, done.peer, done.batch, err)
	delete(f.places[done.peer].until, m.id)
	f.sending[done.peer]--
}

// left is how many parts are not taken over yet by those that are up.
func (f *fleet) left() (n int) {
	for _, m := range f.nodes {
		if m.id != f.dead {
			n += len(newAgenda(m.id, m.shares, m.near, m.taken).open)
		}
	}
	return n
}

// TestTransfersAtOnce: no node takes part in more transfers at once than it should, either way, and
// everything is taken over though any one node is dead and transfers fail.
func TestTransfersAtOnce(t *testing.T) {
	for seed := range uint64(40) {
		f := newFleet(t, seed)
		steps := 0
		for ; f.left() > 0; steps++ {
			if steps > 2000 {
				t.Fatalf("seed %d: %d parts are left", seed, f.left())
			}
			f.now += time.Second / 10
			for range 20 {
				m := f.nodes[f.r.IntN(len(f.nodes))]
				switch {
				case m.id == f.dead:
				case f.r.IntN(2) == 0:
					f.end(m)
				default:
					f.begin(m)
				}
			}
		}
	}
}

// TestInWaves: a node takes over what is its own in the order of the turns, and in a turn in that of the
// waves, from whom the plan names.
func TestInWaves(t *testing.T) {
	f := newFleet(t, 7)
	for _, m := range f.nodes {
		a := newAgenda(m.id, m.shares, m.near, m.taken)
		for peer, batch, idle := a.next(0); !idle; peer, batch, idle = a.next(0) {
			for _, s := range a.open {
				if s.earlier(batch[0]) < 0 {
					t.Fatalf("%v: wave %d of turn %d before wave %d of turn %d", m.id, batch[0].Wave,
						batch[0].turn, s.Wave, s.turn)
				}
			}
			if s := batch[0]; !s.From.IsZero() && !m.taken[s.key(s.From)] && peer != s.From {
				t.Errorf("%v: from %v, and %v was planned", m.id, peer, s.From)
			}
			if len(batch) > partsMax {
				t.Errorf("%d parts in one transfer", len(batch))
			}
			a.end(0, peer, batch, nil)
		}
		if len(a.open) > 0 {
			t.Errorf("%v: %d parts are left", m.id, len(a.open))
		}
	}
}

// TestPlaces: a source gives so many places, keeps those of nodes that say so, and gives those away again
// that are left or not renewed.
func TestPlaces(t *testing.T) {
	for _, mutant := range []string{"", "layout: a source serves everybody"} {
		s := sched.New(sched.Options{Seed: 1, Mutants: []string{mutant}})
		env := s.NewEnv(rt.NodeID{1}, "source")
		m := &Mover{Config: Config{Env: env}, lock: env.NewLock(), places: newPlaces(2)}
		ask := func(node byte, leave bool) bool {
			_, err := m.handlePlace(context.Background(), rt.NodeID{node}, &placeRequest{Leave: leave})
			if err != nil && !errors.Is(err, ErrBusy) {
				t.Error(err)
			}
			return err == nil
		}
		env.Go("ask", func() {
			if !ask(2, false) || !ask(3, false) || !ask(2, false) {
				t.Error("no place where there was one")
			}
			if ask(4, false) != (mutant != "") {
				t.Errorf("mutant %q: three were served at once: %v", mutant, mutant == "")
			}
			ask(2, true)
			if !ask(4, false) {
				t.Error("no place where one was left")
			}
			_ = env.Sleep(rt.Forever, leaseTime-1)
			ask(4, false)
			_ = env.Sleep(rt.Forever, 1)
			if !ask(5, false) || mutant == "" && ask(6, false) {
				t.Error("only the place of the node that said nothing was free")
			}
		})
		if err := s.Run(time.Minute); err != nil {
			t.Fatal(err)
		}
		s.Stop()
	}
}
