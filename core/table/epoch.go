package table

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/cluster"
	"granary/core/hlc"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/rpc"
	"granary/core/rt"
)

const (
	// epochWait is how long after the promises the rows are compared: half as long again as the longest
	// deadline of a write, so that whoever began one before knows its outcome.
	epochWait = WriteTimeout * 3 / 2
	// epochPrefixes bounds the prefixes of an epoch, and of one message.
	epochPrefixes = 4096
)

// errOver means that an epoch is over at a replica: it promised something to another one, or forgot.
var errOver = rpc.RegisterError("table.epoch_over", errors.New("the promise was made to another epoch"))

// epochRequest asks a replica for its promise, or to raise its floor, under some prefixes.
type epochRequest struct {
	Version  uint64          `cbor:"1,keyasint"` // of the layout
	Epoch    uint64          `cbor:"2,keyasint"` // random, not 0
	At       hlc.Stamp       `cbor:"3,keyasint"`
	Prefixes []layout.Prefix `cbor:"4,keyasint"`
}

type epochResponse struct{}

var (
	methodPromise = rpc.NewMethod[epochRequest, epochResponse]("table.promise", rpc.Meta)
	methodFloor   = rpc.NewMethod[epochRequest, epochResponse]("table.floor", rpc.Meta)
)

func (q *epochRequest) check() error {
	if len(q.Prefixes) > epochPrefixes || q.Epoch == 0 {
		return fmt.Errorf("epoch %d of %d prefixes: %w", q.Epoch, len(q.Prefixes), ErrMalformedRow)
	}
	return nil
}

// handlePromise promises to take nothing from coordinators any more that is no newer.
//
// Errors: cluster.ErrOldLayout, cluster.ErrSyncing, hlc.ErrAhead.
func (t *Tables) handlePromise(ctx context.Context, _ rt.NodeID, req *epochRequest) (*epochResponse, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	if req.At > t.clock.Wall() {
		return nil, fmt.Errorf("epoch of %v: %w", req.At, hlc.ErrAhead)
	}
	return &epochResponse{}, t.store.Update(ctx, func(w kv.Writer) error {
		if err := cluster.AdmitSettled(t.env, w, req.Version); err != nil {
			return err
		}
		t.floors.raise(req.At)
		for _, p := range req.Prefixes {
			f, err := readFloor(w, p)
			if err != nil {
				return err
			}
			f.Promise, f.Epoch = max(f.Promise, req.At), req.Epoch
			if err := f.put(w, p); err != nil {
				return err
			}
		}
		return nil
	})
}

// handleFloor raises the floor: all replicas have promised, and then been found to hold the same.
//
// Errors: cluster.ErrOldLayout, cluster.ErrSyncing, errOver.
func (t *Tables) handleFloor(ctx context.Context, _ rt.NodeID, req *epochRequest) (*epochResponse, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	err := t.store.Update(ctx, func(w kv.Writer) error {
		if err := cluster.AdmitSettled(t.env, w, req.Version); err != nil {
			return err
		}
		for _, p := range req.Prefixes {
			f, err := readFloor(w, p)
			if err != nil {
				return err
			}
			if f.Epoch != req.Epoch || f.Promise < req.At {
				return fmt.Errorf("prefix %04x: %w", p, errOver)
			}
			f.Floor = max(f.Floor, req.At)
			if err := f.put(w, p); err != nil {
				return err
			}
			forgetHoles(w, p, p)
		}
		return nil
	})
	if err == nil && t.collector != nil {
		t.collector.drop(req.Prefixes)
	}
	return &epochResponse{}, err
}

// team is a replica set with the prefixes of its that an epoch is for.
type team struct {
	set      layout.Set
	prefixes []layout.Prefix
}

// epoch lets the floor of some prefixes rise to a stamp, at all replicas, or says why it may not yet.
//
// What promises once stays promised, and what levelling brought stays; so an epoch may end anywhere.
func (c *collector) epoch(ctx context.Context, teams []team, at hlc.Stamp) error {
	t := c.t
	id := uint64(0)
	for id == 0 {
		id = t.env.Rand("table/tombstones").Uint64()
	}
	var fails []error
	var sworn []team
	for _, m := range teams {
		if err := c.everyone(ctx, methodPromise, m, id, at); err != nil {
			t.env.Sometimes("an epoch waits for a replica that is away", true)
			fails = append(fails, err)
			continue
		}
		sworn = append(sworn, m)
	}
	if len(sworn) > 0 {
		if err := t.env.Sleep(ctx, epochWait); err != nil {
			return err
		}
	}
	for _, m := range sworn {
		err := c.level(ctx, m)
		if err == nil {
			err = c.everyone(ctx, methodFloor, m, id, at)
		}
		if err != nil {
			fails = append(fails, err)
		}
		c.job.Add(int64(len(m.prefixes)))
	}
	return errors.Join(fails...)
}

// everyone calls every replica of a team.
//
// Errors: that of the first that did not do it, with its name.
func (c *collector) everyone(ctx context.Context, method rpc.Method[epochRequest, epochResponse], m team,
	id uint64, at hlc.Stamp) error {
	req := &epochRequest{Version: m.set.Version, Epoch: id, At: at, Prefixes: m.prefixes}
	one := func(ctx context.Context, i int) error {
		ctx, cancel := c.t.env.WithTimeout(ctx, WriteTimeout)
		defer cancel()
		if _, err := method.Call(ctx, c.t.endpoint, m.set.Nodes[i], req); err != nil {
			return fmt.Errorf("every replica must agree before deletion markers go; replace a node that "+
				"does not come back: %s: %w", c.t.topology.Describe(m.set.Nodes[i]), err)
		}
		return nil
	}
	return rt.Each(ctx, c.t.env, "epoch call", len(m.set.Nodes), len(m.set.Nodes), one)
}

// level makes the rows that age under a team's prefixes equal at all its replicas: this node takes what each
// of the others has, and gives them what the others had.
func (c *collector) level(ctx context.Context, m team) error {
	t := c.t
	var peers []rt.NodeID
	for _, n := range m.set.Nodes {
		if n != t.env.Self() {
			peers = append(peers, n)
		}
	}
	if len(peers) == 0 || t.env.Mutant("floor: without levelling") {
		return nil
	}
	spans := t.aging(m.prefixes)
	for _, peer := range append(slices.Clone(peers), peers[:len(peers)-1]...) {
		x := &exchange{t: t, peer: peer, pace: c.pace,
			source: cluster.Source{Fenced: m.set.Version, Synced: m.set.Version}}
		if _, err := x.run(ctx, spans); err != nil {
			return fmt.Errorf("level rows with %s: %w", t.topology.Describe(peer), err)
		}
	}
	return nil
}

func (c *collector) pace(ctx context.Context, bytes int) error {
	if err := c.t.env.Sleep(ctx, time.Duration(bytes)*time.Second/entropyBytesPerSecond); err != nil {
		return err
	}
	return c.job.Gate(ctx)
}

// aging are the spans of the tables whose rows age, under some prefixes.
func (t *Tables) aging(prefixes []layout.Prefix) (spans []Span) {
	for _, p := range prefixes {
		for _, s := range t.registry.tables {
			if s != nil && s.ages() {
				spans = append(spans, groupSpan(p, s))
			}
		}
	}
	return spans
}

// groupSpan is that of the rows of a table under a prefix.
func groupSpan(p layout.Prefix, s schema) Span {
	id, _, _ := s.describe()
	lo := appendLocal(nil, p, id, Address{})
	return Span{lo, successor(lo)}
}
