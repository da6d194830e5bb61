package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"granary/core/layout"
	simnet "granary/sim/net"
)

// TestHistoryIsBounded: the history keeps the newest PastMax versions, the same on every node and after a
// restart, and roles that it has can be staged again; older ones cannot, and the error says which can.
func TestHistoryIsBounded(t *testing.T) {
	w := newTown(t, 21, 3)
	w.form(3)
	second := w.machines[1]
	role := second.role()
	role.Node = simnet.PeerOf(second.id)
	const last = PastMax + 3
	for n := uint64(2); n <= last; n++ {
		role.Capacity = n << 40
		w.must(second, func(ctx context.Context, c *Cluster) error {
			if err := c.Stage(ctx, role); err != nil {
				return err
			}
			_, err := c.Apply(ctx)
			return err
		})
		w.within(time.Minute, func() bool { return w.agree(3) })
	}
	second.env.Kill()
	w.boot(second)
	for _, m := range w.machines {
		list := m.c.History()
		if len(list) != PastMax || list[0].Number != last-PastMax+1 || list[PastMax-1].Number != last {
			t.Fatalf("%v: %d versions", m, len(list))
		}
		if !slices.IsSortedFunc(list, func(a, b PastVersion) int { return cmp.Compare(a.Made, b.Made) }) {
			t.Errorf("%v: the times go back", m)
		}
	}
	oldest := uint64(last - PastMax + 1)
	w.must(second, func(ctx context.Context, c *Cluster) error { return c.Revert(ctx, oldest) })
	pending := second.c.Status().Pending
	if len(pending) != 1 || pending[0].Node != role.Node || pending[0].To.Capacity != oldest<<40 {
		t.Errorf("pending %+v", pending)
	}
	err := w.on(second, func(ctx context.Context, c *Cluster) error { return c.Revert(ctx, oldest-1) })
	if want := fmt.Sprintf("it has %d to %d", oldest, last); !errors.Is(err, ErrNoVersion) ||
		!strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// TestHistoryOfAnotherChain: what the history says of versions that are not in the live one's chain is not
// used.
func TestHistoryOfAnotherChain(t *testing.T) {
	w := newTown(t, 22, 3)
	w.form(3)
	doc, _ := w.machines[0].c.snapshot()
	made, _ := doc.Past.Get(1)
	made.Value.Hash[0]++
	doc.Past = past{}.With(1, made)
	if _, _, err := doc.roles(1); !errors.Is(err, ErrNoVersion) {
		t.Errorf("got %v", err)
	}
	doc.Past = past{}
	_, _, err := doc.roles(1)
	if !errors.Is(err, ErrNoVersion) || !strings.Contains(err.Error(), "it is empty") {
		t.Errorf("without history: %v", err)
	}
}

// TestRevertSkipsTheRemoved: a node that was removed for good gets no role again.
func TestRevertSkipsTheRemoved(t *testing.T) {
	w := newTown(t, 23, 4)
	w.form(3)
	founder, extra := w.machines[0], w.machines[3]
	w.join(extra, extra.gateway())
	apply := func(ctx context.Context, c *Cluster) error { _, err := c.Apply(ctx); return err }
	w.must(founder, apply)
	w.within(time.Minute, func() bool { return w.agree(4) })
	w.must(founder, func(ctx context.Context, c *Cluster) error {
		return c.Remove(ctx, simnet.PeerOf(extra.id))
	})
	w.must(founder, apply)
	w.within(time.Minute, func() bool { return w.agree(3) })
	w.must(founder, func(ctx context.Context, c *Cluster) error { return c.Revert(ctx, 2) })
	if s := founder.c.Status(); s.Layout.Number != 3 || len(s.Pending) != 0 {
		t.Errorf("version %d, pending %+v", s.Layout.Number, s.Pending)
	}
}

// TestAdopt: a version made elsewhere becomes live if it is of the roles that are wanted, or of those that
// are live, which only places them anew; and not if it is damaged, made from other roles, or out of turn.
func TestAdopt(t *testing.T) {
	w := newTown(t, 24, 4)
	w.form(3)
	w.join(w.machines[3], w.machines[3].role())
	w.within(time.Minute, func() bool { return w.agree(4) })
	second := w.machines[1]
	adopt := func(v *layout.Version) error {
		return w.on(second, func(ctx context.Context, c *Cluster) error { return c.Adopt(ctx, v) })
	}
	live := second.c.Status().Layout
	anew, err := layout.Assign(live.Roles, live.Params, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := adopt(anew); !errors.Is(err, ErrChanged) {
		t.Errorf("a version out of turn: %v", err)
	}
	anew.Number, anew.Parent = 2, live.Hash()
	damaged := *anew
	damaged.Table = slices.Clone(anew.Table)
	damaged.Table[1] = damaged.Table[0]
	if err := adopt(&damaged); !errors.Is(err, ErrUnsuitable) {
		t.Errorf("a damaged version: %v", err)
	}
	fewer := live.Params
	fewer.Replicas = 2
	other, err := layout.Assign(live.Roles, fewer, live)
	if err != nil {
		t.Fatal(err)
	}
	if err := adopt(other); !errors.Is(err, ErrChanged) {
		t.Errorf("parameters that nobody wants: %v", err)
	}
	if err := adopt(anew); err != nil {
		t.Fatal(err)
	}
	w.within(time.Minute, func() bool { return w.agree(4) })
	if s := second.c.Status(); s.Layout.Number != 2 || len(s.Pending) != 1 {
		t.Errorf("version %d, pending %v: want the staged role to stay", s.Layout.Number, s.Pending)
	}
	outsider := newTown(t, 25, 1).machines[0]
	if err := outsider.c.Adopt(context.Background(), anew); !errors.Is(err, ErrNoCluster) {
		t.Errorf("without a cluster: %v", err)
	}
}

// TestStagingRefuses: what cannot be wanted is refused, with the reason.
func TestStagingRefuses(t *testing.T) {
	w := newTown(t, 26, 4)
	alone := w.machines[3]
	for what, f := range map[string]func(context.Context, *Cluster) error{
		"parameters": func(ctx context.Context, c *Cluster) error {
			return c.StageParams(ctx, func(*layout.Params) {})
		},
		"going back": func(ctx context.Context, c *Cluster) error { return c.Revert(ctx, 0) },
		"a look":     func(ctx context.Context, c *Cluster) error { return c.Sync(ctx) },
	} {
		if err := w.on(alone, f); !errors.Is(err, ErrNoCluster) {
			t.Errorf("%s without a cluster: %v", what, err)
		}
	}
	w.found(3, 0)
	founder := w.machines[0]
	err := w.on(founder, func(ctx context.Context, c *Cluster) error { return c.Revert(ctx, 0) })
	if !errors.Is(err, ErrNoLayout) {
		t.Errorf("going back before the first layout: %v", err)
	}
	err = w.on(founder, func(ctx context.Context, c *Cluster) error {
		return c.StageParams(ctx, func(p *layout.Params) { p.Partitions = 100 })
	})
	if !errors.Is(err, ErrUnsuitable) || !strings.Contains(err.Error(), "a power of two") {
		t.Errorf("100 partitions: %v", err)
	}
	err = w.on(founder, func(ctx context.Context, c *Cluster) error {
		return c.Retire(ctx, simnet.PeerOf(alone.id))
	})
	if !errors.Is(err, ErrNotMember) {
		t.Errorf("a stranger retires: %v", err)
	}
}
