package table

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"granary/core/cluster"
	"granary/core/kv"
	"granary/core/kv/memkv"
	"granary/core/quorum"
	"granary/core/rt"
	"granary/sim/sched"
)

// exchange makes everything equal at two nodes.
func (c *testCluster) exchange(a, b *testNode) (done Exchanged) {
	c.t.Helper()
	c.do(a, func(ctx context.Context) {
		var err error
		done, err = a.tables.exchangeSpans(ctx, b.env.Self(), []Span{SpanOf(0, 0xffff)},
			func(context.Context, int) error { return nil })
		if err != nil {
			c.t.Error(err)
		}
	})
	return done
}

// checkDigests demands that a node's digests are those of its rows.
func (c *testCluster) checkDigests(n *testNode) {
	c.t.Helper()
	c.do(n, func(context.Context) {
		if err := n.tables.CheckDigests(); err != nil {
			c.t.Errorf("%s: %v", n.name, err)
		}
	})
}

// One exchange makes two replicas equal, whoever had what, in every table.
func TestExchangeIsAJoin(t *testing.T) {
	for seed := range uint64(6) {
		c := newTestCluster(t, seed, false)
		a, b := c.nodes[0], c.nodes[1]
		r := rand.New(rand.NewPCG(seed, 31))
		pks := [][]byte{{1}, {2}, {3}}
		n := choose(r, 3, 300, 3000)
		for _, node := range c.nodes[:2] {
			for _, pk := range pks {
				for _, tab := range []*Table[mark]{node.marks, node.lists} {
					rows, same := marks{}, rand.New(rand.NewPCG(seed, 32))
					for range n {
						key, stamp := fmt.Sprint(same.IntN(n)), 1+same.Uint64N(9)
						switch r.IntN(20) {
						case 0:
						case 1:
							rows[key] = mark{Stamp: 1 + r.Uint64N(20), Dead: r.IntN(2) == 0}
						default:
							rows[key] = mark{Stamp: stamp}
						}
					}
					c.have(node, tab, pk, rows)
				}
			}
		}
		want := map[string]marks{}
		look := func(f func(id string, at, bt marks)) {
			for _, pk := range pks {
				f(fmt.Sprint(pk, "voted"), c.local(a, a.marks, pk), c.local(b, b.marks, pk))
				f(fmt.Sprint(pk, "not voted"), c.local(a, a.lists, pk), c.local(b, b.lists, pk))
			}
		}
		look(func(id string, at, bt marks) { want[id] = join([]marks{at, bt}) })
		done := c.exchange(a, b)
		equal := func(x, y mark) bool { return x.Stamp == y.Stamp && x.Dead == y.Dead }
		look(func(id string, at, bt marks) {
			if !maps.EqualFunc(at, want[id], equal) || !maps.EqualFunc(bt, want[id], equal) {
				t.Errorf("seed %d, %s: %d and %d rows, want %d", seed, id, len(at), len(bt), len(want[id]))
			}
		})
		c.checkDigests(a)
		c.checkDigests(b)
		if again := c.exchange(a, b); again.Rounds != 1 || again.Received+again.Sent > 0 {
			t.Errorf("seed %d: after %+v, once more: %+v", seed, done, again)
		}
	}
}

// Two stores of 100,000 rows of one bucket that differ in 10 are equal after a few rounds and few bytes.
func TestExchangeOfFewDifferences(t *testing.T) {
	const rows = 100_000
	c := newTestCluster(t, 2, false)
	a, b := c.nodes[0], c.nodes[1]
	all := marks{}
	for i := range rows {
		all[fmt.Sprintf("photos/2026/%06d.jpg", i)] = mark{Stamp: 5}
	}
	keys := all.keys()
	pick := func(i int) string { return keys[(i*7919+17)%rows] }
	for i, n := range []*testNode{a, b} {
		mine := maps.Clone(all)
		for j := range 10 {
			switch key := pick(j); {
			case j < 4 && i == j%2:
				delete(mine, key)
			case j >= 4 && i == j%2:
				mine[key] = mark{Stamp: 6}
			}
		}
		c.have(n, n.marks, markPK, mine)
	}
	done := c.exchange(a, b)
	t.Logf("%+v", done)
	if done.Rounds > 6 || done.Bytes > 128<<10 || done.Received != 8 || done.Sent != 5 {
		t.Errorf("%+v", done) // of 10, a has 2 alone and b 2; of the others each has 3 newer ones
	}
	if again := c.exchange(b, a); again.Rounds != 1 {
		t.Errorf("not equal: %+v", again)
	}
}

// A replica votes on a row that anti-entropy brought as on one from its coordinator: what was newest when it
// came is clean for ever, what was not is behind.
func TestExchangedRowsGetTheirVotes(t *testing.T) {
	c := newTestCluster(t, 3, false)
	a, b := c.nodes[0], c.nodes[1]
	c.have(a, a.marks, markPK, marks{"new": {Stamp: 50}, "old": {Stamp: 50}})
	c.have(b, b.marks, markPK, marks{"old": {Stamp: 60}})
	c.exchange(b, a)
	vote := func(sort string, stamp uint64) (v quorum.Vote) {
		row, err := b.marks.Row([]byte(sort), mark{Stamp: stamp})
		if err != nil {
			t.Fatal(err)
		}
		c.do(b, func(ctx context.Context) {
			req := &writeRequest{PK: markPK, Items: [][]Row{{row}}}
			resp, err := b.tables.handleWrite(ctx, a.env.Self(), req)
			if err != nil {
				t.Error(err)
				return
			}
			v = resp.Answers[0].Vote.vote()
		})
		return v
	}
	for _, tt := range []struct {
		sort  string
		stamp uint64
		want  quorum.Vote
	}{
		{"new", 50, quorum.Clean}, {"new", 49, quorum.Behind}, {"new", 51, quorum.Clean},
		{"new", 50, quorum.Clean},
		{"old", 50, quorum.Behind}, {"old", 60, quorum.Clean},
	} {
		if got := vote(tt.sort, tt.stamp); got != tt.want {
			t.Errorf("%s@%d: vote %v, want %v", tt.sort, tt.stamp, got, tt.want)
		}
	}
}

// TestNoRoomForContent: a replica that has no room for content takes deletions all the same, whether it asks
// for them or is sent them, in several messages, and says that it is full; once it has room again, it gets
// the rest.
func TestNoRoomForContent(t *testing.T) {
	for _, asks := range []bool{false, true} {
		c := newTestCluster(t, 3, false)
		a, b := c.nodes[0], c.nodes[1]
		content, before := mark{Stamp: 2, Pad: make([]byte, answerBytesMax/3)}, mark{Stamp: 1}
		all, has := marks{}, marks{}
		for i := range 5 {
			gone, late := fmt.Sprintf("%d deleted", i), fmt.Sprintf("%d written", i)
			all[gone], has[gone] = mark{Stamp: 2, Dead: true}, before
			all[late] = content
		}
		c.have(a, a.lists, markPK, all)
		c.have(b, b.lists, markPK, has)
		from, to := a, b
		if asks {
			from, to = b, a
		}
		exchange := func() (err error) {
			c.do(from, func(ctx context.Context) {
				_, err = from.tables.exchangeSpans(ctx, to.env.Self(), []Span{SpanOf(0, 0xffff)},
					func(context.Context, int) error { return nil })
			})
			return err
		}
		b.full = fmt.Errorf("%w: a test", ErrFull)
		if err := exchange(); !errors.Is(err, ErrFull) {
			t.Errorf("full replica asks %v: %v", asks, err)
		}
		for key, got := range c.local(b, b.lists, markPK) {
			if !got.Dead || len(got.Pad) > 0 {
				t.Errorf("full replica asks %v: it has %q: %+v", asks, key, got)
			}
		}
		c.checkDigests(b)
		b.full = nil
		if err := exchange(); err != nil {
			t.Errorf("with room, full replica asks %v: %v", asks, err)
		}
		if got := c.local(b, b.lists, markPK); len(got) != len(all) {
			t.Errorf("with room, full replica asks %v: %d rows, want %d", asks, len(got), len(all))
		}
	}
}

// The parts of a row that exceed a message come before it, in several; what is not here is an empty batch.
func TestCarryOfManyParts(t *testing.T) {
	s := sched.New(sched.Options{Seed: 1})
	t.Cleanup(s.Stop)
	env, reg := s.NewEnv(rt.NodeID{1}, "a"), &Registry{}
	def := markDef()
	def.ID, def.Name, def.Derived = 201, "part", true
	many := Register(reg, def)
	def = markDef()
	def.Parts = func(r *Reader, at Address, _ mark, f func(Row)) (bool, error) {
		return true, many.ScanRows(r, at.Sort, successor(at.Sort), func(row Row) bool { f(row); return true })
	}
	tab := Register(reg, def)
	store := memkv.Open(env, memkv.NewImage(), memkv.Options{})
	tables := &Tables{env: env, store: store, registry: reg}
	key := func(sort string) []byte {
		return appendLocal(nil, newReader(nil, markPK).prefix, tab.def.ID, Address{markPK, []byte(sort)})
	}
	const count = 10
	env.Go("test", func() {
		err := store.Update(context.Background(), func(w kv.Writer) (err error) {
			tx := &Tx{Reader: *newReader(w, markPK), w: w, registry: reg}
			for i := range count {
				part := mark{Stamp: 1, Pad: make([]byte, answerBytesMax/4)}
				err = errors.Join(err, many.Merge(tx, fmt.Appendf(nil, "big/%d", i), part))
			}
			for _, sort := range []string{"a", "big", "c"} {
				err = errors.Join(err, tab.Merge(tx, []byte(sort), mark{Stamp: 1}))
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		keys := [][]byte{key("a"), key("absent"), key("big"), key("c")}
		var got []string
		messages := 0
		for skip := 0; len(keys) > 0; messages++ {
			out, err := tables.carry(keys, skip, cluster.Source{})
			if err != nil || out.size() > answerBytesMax+answerBytesMax/4 {
				t.Errorf("%d bytes, %v", out.size(), err)
				return
			}
			for _, b := range out.Batches {
				for _, row := range b.Rows {
					got = append(got, string(row.Sort))
				}
			}
			whole, next, err := out.progress(skip)
			if err != nil {
				t.Error(err)
				return
			}
			keys, skip = keys[whole:], next
		}
		want := "[a big/0 big/1 big/2 big/3 big/4 big/5 big/6 big/7 big/8 big/9 big c]"
		if fmt.Sprint(got) != want || messages < 3 {
			t.Errorf("%v in %d messages", got, messages)
		}
	})
	if err := s.Run(0); err != nil {
		t.Fatal(err)
	}
}

// A comparison that is not one is refused.
func TestCompareRefusesWhatItCannotAnswer(t *testing.T) {
	c := newTestCluster(t, 5, false)
	n := c.nodes[0]
	c.do(n, func(ctx context.Context) {
		for _, req := range []*compareRequest{
			{Asks: make([]spanAsk, asksMax+1)}, {Asks: []spanAsk{{}}},
			{Asks: []spanAsk{{Span: Span{[]byte{localPrefix, 2}, []byte{localPrefix, 1}}}}},
			{Asks: []spanAsk{{Span: Span{[]byte{1}, []byte{2}}}}},
		} {
			if resp, err := n.tables.handleCompare(ctx, rt.NodeID{}, req); !errors.Is(err, ErrMalformedRow) {
				t.Errorf("%v: %+v, %v", req, resp, err)
			}
		}
		for _, key := range []string{"", "\x01node/store", "\x80\x00\x00\xffx", "\x80\x00\x00\xc9"} {
			if got, err := n.tables.carry([][]byte{[]byte(key)}, 0, cluster.Source{}); err == nil {
				t.Errorf("%x: %+v", key, got)
			}
		}
	})
}
