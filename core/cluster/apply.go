package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"granary/core/hlc"
	"granary/core/layout"
	"granary/core/rt"
)

// decideTimeout bounds the choice of a version.
const decideTimeout = 15 * time.Second

// tend does what falls due now and then: expired tokens are forgotten, removed members stay cut off, a store
// that took the place of another says so, and what is before the newest layout is closed once nobody needs
// it. The founder applies the first layout once the cluster is complete.
func (c *Cluster) tend(ctx context.Context) {
	c.expireTokens(ctx)
	c.cutRemoved()
	c.advance(ctx)
	doc, _ := c.snapshot()
	if len(doc.ID) == 0 || doc.Founder != c.env.Self() || doc.Layout != nil || doc.missing() != "" {
		return
	}
	if number, err := c.apply(ctx, nil); err == nil {
		c.env.Info("first layout applied", "version", number)
	} else if ctx.Err() == nil {
		c.env.Warn("the first layout could not be applied", "err", err)
	}
}

// advance adds to the standing of this node what has become true.
func (c *Cluster) advance(ctx context.Context) {
	self := c.env.Self()
	doc, cache := c.snapshot()
	if !doc.present(self) {
		return
	}
	if doc.reborn(self, c.storeID).Life > 0 {
		c.note(ctx, "a new store", func(now document) standing { return now.reborn(self, c.storeID) })
	}
	c.watchLagging(doc)
	turn, all := doc.closable(cache, self, c.awaits)
	switch early := c.env.Mutant("layout: retire before readable") && doc.beforeLives(); {
	case all || early:
		c.note(ctx, "the layout before is closed", func(document) standing {
			return standing{Closed: doc.number()}
		})
	case turn > 0:
		c.env.Sometimes("a layout was closed in parts", true)
		c.note(ctx, "the layout before is closed in parts", func(document) standing {
			return standing{Closing: stretch{doc.number(), turn}}
		})
	}
}

// note adds to the standing of this node.
func (c *Cluster) note(ctx context.Context, what string, f func(document) standing) {
	err := c.change(ctx, func(now document, _ hlc.Stamp) (document, error) {
		return stand(c.env.Self(), f(now)), nil
	})
	if err != nil && ctx.Err() == nil {
		c.env.Warn("what this node has done for the layout could not be noted", "what", what, "err", err)
	}
}

// MarkSynced says that this node's store holds everything that a version wants of it. The version must live:
// nobody knows of one that is over who was there to take over from.
//
// Errors: ErrChanged, those of the store.
func (c *Cluster) MarkSynced(ctx context.Context, version uint64) error {
	self := c.env.Self()
	return c.change(ctx, func(now document, _ hlc.Stamp) (document, error) {
		if !now.lives(version) && !c.env.Mutant("layout: in sync with what is over") {
			return now, fmt.Errorf("in sync with version %d, and the newest is %d: %w", version, now.number(),
				ErrChanged)
		}
		s := now.standing(self)
		if anew := now.reborn(self, c.storeID); anew.Life > 0 {
			s = anew
		}
		return stand(self, s.inSync(version)), nil
	})
}

// MarkPartly says that this node's store holds everything that the newest version, while the one before
// lives, wants of it up to a turn.
//
// Errors: ErrChanged, those of the store.
func (c *Cluster) MarkPartly(ctx context.Context, version uint64, turn int) error {
	self := c.env.Self()
	return c.change(ctx, func(now document, _ hlc.Stamp) (document, error) {
		s := now.standing(self)
		if !now.beforeLives() || now.number() != version || now.reborn(self, c.storeID).Life > 0 {
			return now, fmt.Errorf("in sync with parts of version %d, and the newest is %d: %w", version,
				now.number(), ErrChanged)
		}
		s.Partly = stretch{version, turn}
		return stand(self, s), nil
	})
}

// MarkCarried says that all registers this node had accepted are decided among the voters of a version.
func (c *Cluster) MarkCarried(ctx context.Context, version uint64) error {
	return c.change(ctx, func(document, hlc.Stamp) (document, error) {
		return stand(c.env.Self(), standing{Carried: version}), nil
	})
}

// Missing says in words what the cluster still lacks for its first layout; empty once it has one.
func (c *Cluster) Missing() string {
	doc, _ := c.snapshot()
	if doc.Layout != nil {
		return ""
	}
	if why := doc.missing(); why != "" {
		return why
	}
	return "the first layout is being computed"
}

// missing says what a first layout needs that is not there; empty if nothing.
func (d document) missing() string {
	if len(d.ID) == 0 {
		return "this node belongs to no cluster yet: run granary init or granary join"
	}
	roles, params := d.staged().Wanted(nil)
	storing, zones := 0, map[layout.ZoneName]bool{}
	for _, r := range roles {
		if r.Stores() {
			storing++
			zones[r.Zone] = true
		}
	}
	switch {
	case storing < params.Replicas:
		return fmt.Sprintf("%s needed: %d of %d storage nodes have joined",
			count(params.Replicas-storing, "more node"),
			storing, params.Replicas)
	case len(zones) < params.MinZones:
		return fmt.Sprintf("%s needed: the storage nodes are in %d of %d zones",
			count(params.MinZones-len(zones), "more zone"), len(zones), params.MinZones)
	}
	return ""
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Apply makes a new layout version from the staged changes and returns its number; that of the present one if
// nothing is staged. From then on data moves by itself, and reads and writes go on; see DESIGN.md.
//
// Errors: ErrNoCluster; ErrNotReady and ErrUnsuitable with the reason, ErrUnsettled, ErrChanged if another
// change was chosen instead, those of the Agreement: one of an unknown outcome may have chosen the version.
func (c *Cluster) Apply(ctx context.Context) (number uint64, err error) {
	if err := c.Sync(ctx); err != nil {
		return 0, err
	}
	return c.apply(ctx, nil)
}

// Adopt makes a version the layout that somebody has made, and looked at: it must follow the live one, and
// have the roles and parameters that are staged, or, to place anew what is there, those of the live one. So
// nothing is applied that was staged, or applied, after v was made; Sync before that makes a refusal rare.
//
// Errors: ErrChanged if v does not follow from what is so now; those of Apply.
func (c *Cluster) Adopt(ctx context.Context, v *layout.Version) error {
	if err := c.Sync(ctx); err != nil {
		return err
	}
	_, err := c.apply(ctx, v)
	return err
}

// Sync makes this node and a quorum of the voters know the same, in particular of what is staged;
// before the first layout, this node and the founder.
//
// Errors: ErrNoCluster; ErrNotReady if too few can be asked.
func (c *Cluster) Sync(ctx context.Context) error {
	doc, cache := c.snapshot()
	self := c.env.Self()
	switch {
	case len(doc.ID) == 0:
		return ErrNoCluster
	case doc.Layout == nil && doc.Founder == self:
		return nil
	case doc.Layout == nil:
		if err := c.exchange(ctx, doc.Founder, true); err != nil {
			return fmt.Errorf("ask %s, which founded the cluster: %w", c.Describe(doc.Founder), err)
		}
		return nil
	}
	set := cache.full.Live[len(cache.full.Live)-1]
	heard := rt.NewQueue[hearing](c.env, len(set.Nodes))
	for _, id := range set.Nodes {
		c.group.Go("cluster sync", func(context.Context) error {
			var err error
			if id != self {
				err = c.exchange(ctx, id, true)
			}
			heard.TryPut(hearing{id, err})
			return nil
		})
	}
	return c.hear(ctx, set, heard)
}

// hearing is what came of asking a node.
type hearing struct {
	node rt.NodeID
	err  error
}

// hear waits until a write quorum of a set was heard, and for the others as long as they usually take.
//
// Errors: ErrNotReady.
func (c *Cluster) hear(ctx context.Context, set layout.Set, heard *rt.Queue[hearing]) error {
	var good, bad []rt.NodeID
	var fails []error
	for len(good)+len(bad) < len(set.Nodes) {
		var h hearing
		var ended error
		if enough := set.Writes(in(good)); enough {
			h, ended = heard.GetFor(ctx, c.Patience(set.Nodes))
		} else {
			h, ended = heard.Get(ctx)
		}
		switch {
		case errors.Is(ended, rt.ErrTimeout):
			return nil
		case ended != nil:
			return ended
		case h.err == nil:
			good = append(good, h.node)
			continue
		}
		bad, fails = append(bad, h.node), append(fails, h.err)
		failed := in(bad)
		if left := func(id rt.NodeID) bool { return !failed(id) }; !set.Writes(left) {
			return fmt.Errorf("%w: %s: %w", ErrNotReady, short(set, left), errors.Join(fails...))
		}
	}
	return nil
}

// in says which nodes are in a list.
func in(list []rt.NodeID) func(rt.NodeID) bool {
	return func(id rt.NodeID) bool { return slices.Contains(list, id) }
}

// short says in words of which quorum some nodes fall short; empty if they are one.
func short(set layout.Set, has func(rt.NodeID) bool) string {
	switch lacking := set.Lacking(has); {
	case set.Writes(has):
		return ""
	case len(lacking) > 0:
		return fmt.Sprintf("%d of %d zones must be heard, missing %s", set.Write, len(set.Zones),
			strings.Join(lacking, " and "))
	}
	return fmt.Sprintf("%d of %d storage nodes must be heard, and there are %d", set.Write, len(set.Nodes),
		layout.Count(set.Nodes, has))
}

// apply is Apply and Adopt; a nil version is what is staged.
func (c *Cluster) apply(ctx context.Context, version *layout.Version) (number uint64, err error) {
	if doc, _ := c.snapshot(); len(doc.ID) == 0 {
		return 0, ErrNoCluster
	}
	if err := c.applying.Lock(ctx); err != nil {
		return 0, err
	}
	defer c.applying.Unlock()
	doc, _ := c.snapshot()
	switch {
	case doc.Layout == nil && doc.missing() != "":
		return 0, fmt.Errorf("%w: %s", ErrNotReady, doc.missing())
	case doc.Layout == nil && doc.Founder != c.env.Self():
		return 0, fmt.Errorf("%w: %s makes the first layout", ErrNotReady, c.Describe(doc.Founder))
	}
	if version == nil {
		if roles, params := doc.staged().Pending(doc.Layout); len(roles) == 0 && !params {
			return doc.number(), nil
		}
		if version, err = doc.staged().Next(doc.Layout); err != nil {
			return 0, fmt.Errorf("%w: %w", ErrUnsuitable, err)
		}
	}
	if err := doc.fits(version); err != nil {
		return 0, err
	}
	if doc.beforeLives() {
		return 0, fmt.Errorf("%w: version %d is not retired: see granary status", ErrUnsettled,
			doc.Before.Number)
	}
	c.verify(version, doc.Layout)
	chosen, err := c.choose(ctx, version)
	if err != nil {
		return 0, err
	}
	if err := c.change(ctx, func(now document, stamp hlc.Stamp) (document, error) {
		return now.with(chosen, stamp), nil
	}); err != nil {
		return 0, err
	}
	if chosen.Hash() != version.Hash() {
		return chosen.Number, fmt.Errorf("another version %d was chosen: %w", chosen.Number, ErrChanged)
	}
	return chosen.Number, nil
}

// choose has the storage nodes of the live layout decide what follows it, and returns that. The first layout
// is the founder's, since there is nobody else yet.
func (c *Cluster) choose(ctx context.Context, v *layout.Version) (*layout.Version, error) {
	if v.Number == 1 || c.env.Mutant("layout: not chosen") {
		return v, nil
	}
	ctx, cancel := c.env.WithTimeout(ctx, decideTimeout)
	defer cancel()
	raw, err := v.Seal()
	if err != nil {
		return nil, err
	}
	decided, err := c.agree.Decide(ctx, fmt.Sprintf("layout/%d", v.Number), raw)
	if err != nil {
		if c.LayoutNumber() >= v.Number || errors.Is(err, ErrOldLayout) {
			return nil, fmt.Errorf("version %d was chosen by others: %w", v.Number, ErrChanged)
		}
		return nil, fmt.Errorf("choose layout version %d: %w", v.Number, err)
	}
	return layout.OpenVersion(decided)
}

// with is what a chosen version adds to the document. The stores that the first one finds hold all there is:
// nothing.
func (d document) with(v *layout.Version, stamp hlc.Stamp) document {
	if d.number() >= v.Number {
		return document{}
	}
	delta := document{Layout: v, Before: d.Layout, Past: recorded(stamp, v, d.Layout)}
	if v.Number == 1 {
		for _, id := range v.StorageNodes() {
			s := d.standing(id)
			delta.Members = delta.Members.Join(stand(id, standing{Life: s.Life, Store: s.Store,
				Synced: 1}).Members)
		}
	}
	return delta
}

// fits refuses a version that is not valid, does not follow the live one, or is not of the roles and
// parameters that are staged or live.
func (d document) fits(v *layout.Version) error {
	if err := v.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsuitable, err)
	}
	var parent layout.Hash
	if d.Layout != nil {
		parent = d.Layout.Hash()
	}
	if v.Number != d.number()+1 || v.Parent != parent {
		return fmt.Errorf("version %d does not follow version %d, which is live: %w", v.Number, d.number(),
			ErrChanged)
	}
	roles, params := d.staged().Wanted(d.Layout)
	if v.Params == params && len(layout.Changes(roles, v.Roles)) == 0 {
		return nil
	}
	if d.Layout != nil && v.Params == d.Layout.Params && len(layout.Changes(d.Layout.Roles, v.Roles)) == 0 {
		return nil
	}
	return fmt.Errorf("version %d was made from other staged changes: %w", v.Number, ErrChanged)
}
