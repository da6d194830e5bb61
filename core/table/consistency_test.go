package table

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"granary/core/codec"
	"granary/core/hlc"
	"granary/core/kv"
	"granary/core/quorum"
	"granary/netsim"
)

// cell is a register: a write keeps its id, whatever stamp it gets.
type cell struct {
	Stamp hlc.Stamp `cbor:"1,keyasint"`
	Write byte      `cbor:"2,keyasint"`
}

func (c cell) head() Head { return Head{Stamp: c.Stamp, ID: [16]byte{c.Write}} }

func (c cell) stamp() hlc.Stamp { return c.Stamp }

func (c cell) Join(o cell) cell {
	if o.head().Compare(c.head()) > 0 {
		return o
	}
	return c
}

var kindCell = codec.Register(0xf7, 1, "cell")

func cellDef() Def[cell] {
	return Def[cell]{ID: 203, Name: "cell", Kind: kindCell, Version: 1, PKLen: 1, Join: cell.Join,
		Head: cell.head, Newest: cell.stamp, Oldest: cell.stamp,
		Above: func(c cell, floor hlc.Stamp) (cell, bool) { return c, c.Stamp > floor },
		Spent: func(c cell) bool { return c.Write >= wiped }}
}

// wiped and what is above are writes that say that the cell is gone.
const wiped = 200

func (n *testNode) set(ctx context.Context, id byte) (hlc.Stamp, error) {
	return n.tables.WriteOne(ctx, Write{Subject: "cell", PK: markPK,
		Items: []Item{{Voted: func(s hlc.Stamp) ([]Row, error) {
			row, err := n.cells.Row([]byte("k"), cell{s, id})
			return []Row{row}, err
		}}}})
}

func (n *testNode) get(ctx context.Context) (byte, error) {
	f, err := n.tables.Fetch(ctx, "cell", markPK, []byte("k"), "cell")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	c, _, err := Joined(f, n.cells, []byte("k"))
	return c.Write, err
}

// put makes one replica alone have a cell.
func (c *testCluster) put(n *testNode, v cell) {
	c.t.Helper()
	c.do(n, func(ctx context.Context) {
		err := n.store.Update(ctx, func(w kv.Writer) error {
			return n.cells.Merge(&Tx{Reader: *newReader(w, markPK), w: w}, []byte("k"), v)
		})
		if err != nil {
			c.t.Error(err)
		}
	})
}

// stamp is one of now.
func (c *testCluster) stamp() hlc.Stamp { return hlc.Stamp(far(c, 0).Stamp) }

// TestMonotonicRead: a write that reached one replica, and is seen, stays seen by those who do not ask that
// replica. It costs a round once. Without the write-back, or at the default level, it is gone again.
func TestMonotonicRead(t *testing.T) {
	for _, tc := range []struct {
		level   Consistency
		mutants []string
		trips   int
		after   byte
	}{
		{Monotonic, nil, 2, 1},
		{ReadAfterWrite, nil, 1, 0},
		{Monotonic, []string{"monotonic: no write-back"}, 1, 0},
	} {
		c := newTestCluster(t, 0, false, tc.mutants...)
		c.warm()
		a, third := c.nodes[0], c.nodes[2]
		c.put(a, cell{c.stamp(), 1})
		read := func(n *testNode) (id byte, trips int) {
			trips = c.do(n, func(ctx context.Context) {
				var err error
				if id, err = n.get(WithConsistency(ctx, tc.level)); err != nil {
					t.Error(err)
				}
			})
			return id, trips
		}
		if id, trips := read(a); id != 1 || trips != tc.trips {
			t.Errorf("%v %v: saw %d after %d round trips, want 1 after %d", tc.level, tc.mutants, id, trips,
				tc.trips)
		}
		if err := c.model.Isolate("a"); err != nil { // before repair gets anywhere at the default level
			t.Fatal(err)
		}
		if id, _ := read(third); id != tc.after {
			t.Errorf("%v %v: then saw %d, want %d", tc.level, tc.mutants, id, tc.after)
		}
	}
}

// TestMonotonicAgreed: while replicas agree, on a value or that there is none, a monotonic read is one round.
func TestMonotonicAgreed(t *testing.T) {
	c := newTestCluster(t, 1, false)
	c.warm()
	for want := range byte(2) {
		trips := c.do(c.nodes[1], func(ctx context.Context) {
			if got, err := c.nodes[1].get(WithConsistency(ctx, Monotonic)); got != want || err != nil {
				t.Errorf("read %d, %v, want %d", got, err, want)
			}
		})
		if trips != 1 {
			t.Errorf("%d round trips for %d", trips, want)
		}
		c.do(c.nodes[0], func(ctx context.Context) {
			if _, err := c.nodes[0].set(ctx, 1); err != nil {
				t.Error(err)
			}
			if err := c.nodes[0].env.Sleep(ctx, time.Second); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMonotonicNothingWon: a row in which nothing won yet, of an upload say, is not brought to those that
// lack it: they may refuse it, and a reader sees nothing of it.
func TestMonotonicNothingWon(t *testing.T) {
	c := newTestCluster(t, 1, false)
	c.warm()
	c.put(c.nodes[0], cell{})
	trips := c.do(c.nodes[0], func(ctx context.Context) {
		if got, err := c.nodes[0].get(WithConsistency(ctx, Monotonic)); got != 0 || err != nil {
			t.Errorf("read %d, %v, want nothing", got, err)
		}
	})
	if trips != 1 {
		t.Errorf("%d round trips, want 1", trips)
	}
}

// TestEventualRead: the nearest replica's word, for nothing; another's when it does not answer; and not more
// than that.
func TestEventualRead(t *testing.T) {
	c := newTestCluster(t, 2, false)
	c.warm()
	a, b := c.nodes[0], c.nodes[1]
	c.put(b, cell{c.stamp(), 1})
	read := func(n *testNode) (id byte, trips int) {
		trips = c.do(n, func(ctx context.Context) {
			var err error
			if id, err = n.get(WithConsistency(ctx, Eventual)); err != nil {
				t.Error(err)
			}
		})
		return id, trips
	}
	if id, trips := read(a); id != 0 || trips != 0 {
		t.Errorf("a read %d after %d round trips", id, trips)
	}
	for _, zone := range []string{"a", "c"} {
		if err := c.model.Isolate(zone); err != nil {
			t.Fatal(err)
		}
	}
	if id, trips := read(b); id != 1 || trips != 0 {
		t.Errorf("b, which is alone, read %d after %d round trips", id, trips)
	}
}

// TestConsistencyNames: every level has a name that reads back, and others are refused with the list.
func TestConsistencyNames(t *testing.T) {
	for c := ReadAfterWrite; c <= Eventual; c++ {
		if got, err := ParseConsistency(c.String()); got != c || err != nil {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
	if _, err := ParseConsistency("strong"); !errors.Is(err, ErrBadConsistency) {
		t.Errorf("strong: %v", err)
	}
}

// registerInput is an operation on the register: a write of id, or a read if that is 0.
type registerInput struct{ id byte }

var registerModel = porcupine.Model{
	Init: func() any { return byte(0) },
	Step: func(state, input, output any) (bool, any) {
		if in := input.(registerInput); in.id != 0 {
			return true, in.id
		}
		return state == output, state
	},
	DescribeOperation: func(input, output any) string {
		if in := input.(registerInput); in.id != 0 {
			return fmt.Sprintf("set %d", in.id)
		}
		return fmt.Sprintf("get %v", output)
	},
}

// storm lets clients on all nodes set and get one register at a level while clocks are wrong, links are slow
// and nodes are cut off; it returns the history.
func (c *testCluster) storm(level Consistency) (history []porcupine.Operation) {
	random := c.s.Rand("storm")
	for _, n := range c.nodes {
		n.env.SetWallOffset(time.Duration(random.Int64N(int64(2 * time.Second))))
	}
	fail := func(err error) {
		if err != nil {
			c.s.Fail(err)
		}
	}
	for number := range 48 {
		n, id := c.nodes[random.IntN(3)], byte(0)
		if number%2 == 0 {
			id = byte(number/2 + 1)
		}
		c.s.After(time.Duration(random.Int64N(int64(10*time.Second))), func() {
			n.env.Go("client", func() {
				ctx, cancel := n.env.WithTimeout(WithConsistency(n.env.Background(), level), 2*time.Second)
				defer cancel()
				op := porcupine.Operation{ClientId: number, Input: registerInput{id}, Call: int64(c.s.Now())}
				var err error
				if id == 0 {
					op.Output, err = n.get(ctx)
				} else {
					_, err = n.set(ctx, id)
				}
				op.Return = int64(c.s.Now())
				switch {
				case err == nil:
				case id == 0 || !errors.Is(err, quorum.ErrUnknown):
					return // nothing was learnt, or nothing happened
				default:
					op.Return = int64(time.Hour) // it may happen yet
				}
				history = append(history, op)
			})
		})
	}
	for range 14 {
		from, to := c.nodes[random.IntN(3)].name, c.nodes[random.IntN(3)].name
		at := time.Duration(random.Int64N(int64(10 * time.Second)))
		lasts := time.Duration(random.Int64N(int64(3 * time.Second)))
		if random.IntN(3) == 0 {
			c.s.After(at, func() { fail(c.model.Isolate(from)) })
			c.s.After(at+lasts, func() { fail(c.model.Rejoin(from)) })
			continue
		}
		slow := netsim.Extra{Delay: time.Duration(random.Int64N(int64(2 * time.Second)))}
		c.s.After(at, func() { fail(c.model.Degrade(from, to, slow)) })
		c.s.After(at+lasts, func() { fail(c.model.Degrade(from, to, netsim.Extra{})) })
	}
	if err := c.s.Run(30 * time.Second); err != nil {
		c.t.Fatal(err)
	}
	return history
}

// TestMonotonicIsLinearizable: at the monotonic level a row is one register, judged by the identity of
// writes: a write that is stamped anew is the same write.
func TestMonotonicIsLinearizable(t *testing.T) {
	ops := 0
	for seed := range uint64(40) {
		c := newTestCluster(t, seed, false)
		history := c.storm(Monotonic)
		ops += len(history)
		if got := porcupine.CheckOperationsTimeout(registerModel, history, time.Minute); got != porcupine.Ok {
			t.Fatalf("seed %d: %s: %v", seed, got, history)
		}
	}
	if ops < 40*25 {
		t.Errorf("%d operations of %d: the storm lets too few through to test anything", ops, 40*48)
	}
}

// TestMonotonicMutants: the clauses that make it so are needed.
func TestMonotonicMutants(t *testing.T) {
	for _, tc := range []struct {
		name   string
		level  Consistency
		mutant string
	}{
		{"default level", ReadAfterWrite, ""},
		{"no write-back", Monotonic, "monotonic: no write-back"},
		{"hurried stamp", Monotonic, "monotonic: hurried stamp"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for seed := range uint64(400) {
				c := newTestCluster(t, seed, false, tc.mutant)
				got := porcupine.CheckOperationsTimeout(registerModel, c.storm(tc.level), time.Minute)
				c.s.Stop()
				if got == porcupine.Illegal {
					t.Logf("noticed by porcupine after %d seeds", seed+1)
					return
				}
			}
			t.Error("no seed of 400 noticed")
		})
	}
}
