package register

import (
	"context"
	"errors"
	"testing"
	"time"

	"granary/core/cluster"
	"granary/core/kv"
	"granary/core/kv/memkv"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rt"
)

// decide sets a register to a value unless it has one, and returns what it has then.
func (c *town) decide(h *home, value string) (decided string, err error) {
	c.do(h, func(ctx context.Context) {
		var raw []byte
		raw, err = h.registers.Decide(ctx, "name", []byte(value))
		decided = string(raw)
	})
	return decided, err
}

func (c *town) guard(h *home, g cluster.Guard) {
	c.do(h, func(ctx context.Context) {
		err := h.registers.store.Update(ctx, func(w kv.Writer) error { g.Put(w); return nil })
		if err != nil {
			c.t.Error(err)
		}
	})
}

func (c *town) voters(version uint64, homes ...*home) layout.Set {
	var ids []rt.NodeID
	for _, h := range homes {
		ids = append(ids, h.env.Self())
	}
	return layout.Majority(version, ids)
}

// TestCarry: what the voters of one layout decided is decided among those of the next, whom none of them is
// one of, before the old ones are left out; else it is forgotten (invariant 4).
func TestCarry(t *testing.T) {
	for _, mutant := range []string{"", "layout: registers not carried"} {
		c := newTown(t, 5, mutant)
		old, young := c.voters(1, c.homes[:3]...), c.voters(2, c.homes[3:]...)
		c.view = cluster.View{Layout: 1, Live: []layout.Set{old}}
		if got, err := c.decide(c.homes[0], "first"); got != "first" || err != nil {
			t.Fatal(got, err)
		}
		c.view = cluster.View{Layout: 2, Live: []layout.Set{old, young}}
		for _, h := range c.homes[:2] {
			c.guard(h, cluster.Guard{Newest: 2})
			c.do(h, func(ctx context.Context) {
				if err := h.registers.Carry(ctx); err != nil {
					t.Errorf("mutant %q: %v", mutant, err)
				}
			})
		}
		c.view = cluster.View{Layout: 2, Live: []layout.Set{young}}
		got, err := c.decide(c.homes[3], "second")
		if err != nil || (got == "first") != (mutant == "") {
			t.Errorf("mutant %q: decided %q, %v", mutant, got, err)
		}
		c.view = cluster.View{Layout: 1, Live: []layout.Set{old}}
		if got, err := c.decide(c.homes[2], "late"); !errors.Is(err, cluster.ErrOldLayout) {
			t.Errorf("mutant %q: with the old voters alone: %q, %v", mutant, got, err)
		}
	}
}

// TestLostVoter: a voter that lost its store is silent until it took over from the others; else a majority of
// which it is one decides anew (invariant 5).
func TestLostVoter(t *testing.T) {
	for _, mutant := range []string{"", "register: a lost store votes"} {
		c := newTown(t, 6, mutant)
		a, b, late := c.homes[0], c.homes[1], c.homes[2]
		c.view = cluster.View{Layout: 1, Live: []layout.Set{c.voters(1, a, b, late)}}
		late.env.Kill()
		if got, err := c.decide(a, "first"); got != "first" || err != nil {
			t.Fatal(got, err)
		}
		b.env.Kill()
		b.image = memkv.NewImage()
		c.boot(b)
		c.run(time.Second)
		c.guard(b, cluster.Guard{Newest: 1, Amnesiac: true})
		a.env.Kill()
		c.boot(late)
		c.run(time.Second)
		c.guard(late, cluster.Guard{Newest: 1, Synced: 1})
		got, err := c.decide(late, "second")
		if forgot := err == nil && got == "second"; forgot != (mutant != "") {
			t.Errorf("mutant %q: decided %q, %v", mutant, got, err)
		}
		if mutant != "" {
			continue
		}
		if !errors.Is(err, quorum.ErrUnavailable) {
			t.Errorf("one voter of three that remembers: %v", err)
		}
		c.boot(a)
		c.run(time.Second)
		for _, from := range []*home{a, late} {
			c.do(b, func(ctx context.Context) {
				if err := b.registers.TakeOver(ctx, from.env.Self(), cluster.Source{}); err != nil {
					t.Error(err)
				}
			})
		}
		c.guard(b, cluster.Guard{Newest: 1, Synced: 1})
		a.env.Kill()
		if got, err := c.decide(late, "third"); got != "first" || err != nil {
			t.Errorf("after it took over: %q, %v", got, err)
		}
	}
}
