package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"granary/core/layout"
	"granary/core/rt"
)

// derived is what follows from a document, computed once per change.
type derived struct {
	digest [32]byte
	zones  map[rt.NodeID]layout.ZoneName
	full   View
	views  []View // by partition, of whichever live version has more of them
	turns  turns
	// closing is up to which turn the version before is being closed.
	closing int
}

// turns are those of a change, computed once.
type turns struct {
	of   layout.Hash // the newer version
	part []int       // by its partitions; nil if the version before is over
}

// turns are those of the change that is going on; was is what they were when last looked at.
func (d document) turns(was turns) turns {
	if !d.beforeLives() {
		return turns{}
	}
	if hash := d.Layout.Hash(); was.part == nil || was.of != hash {
		return turns{hash, layout.PartTurns(d.Before, d.Layout)}
	}
	return was
}

// at is the turn of a part of the keys that begins with a prefix.
func (t turns) at(x layout.Prefix) int {
	if t.part == nil {
		return 0
	}
	return t.part[layout.PartitionOf(x, len(t.part))]
}

// parts are all views.
func (v *derived) parts() []View { return append(slices.Clip(v.views), v.full) }

// derive computes what follows from a document; was is what followed from the one before.
func derive(d document, digest [32]byte, was *derived) *derived {
	v := &derived{digest: digest, zones: map[rt.NodeID]layout.ZoneName{}, turns: d.turns(was.turns)}
	roles, _ := d.staged().Wanted(d.Layout)
	for _, r := range roles {
		v.zones[r.Node] = r.Zone
	}
	if d.Layout == nil {
		return v
	}
	for _, r := range d.Layout.Roles {
		v.zones[r.Node] = r.Zone
	}
	v.closing = d.closing()
	partitions := d.Layout.Params.Partitions
	var before layout.Set
	if d.beforeLives() {
		partitions, before = max(partitions, d.Before.Params.Partitions), d.fullSet(d.Before)
	}
	full := 0
	if d.beforeLives() {
		full = layout.FullTurn
	}
	v.full = v.view(d, before, d.fullSet(d.Layout), full)
	voters := v.full.Targets()
	for _, id := range d.members() {
		if !slices.Contains(voters, id) {
			v.full.Learners = append(v.full.Learners, id)
		}
	}
	v.views = make([]View, partitions)
	for p := range v.views {
		first, _ := layout.Partition(p).Range(partitions)
		if d.beforeLives() {
			before = d.setOf(d.Before, first)
		}
		v.views[p] = v.view(d, before, d.setOf(d.Layout, first), v.turns.at(first))
	}
	return v
}

// view is that of a part of the keys with a turn: its set in the newest version, and, without nodes if
// there is none, in the one before, which counts until it is retired.
func (v *derived) view(d document, before, newest layout.Set, turn int) View {
	view := View{Layout: newest.Version, Live: []layout.Set{newest}, Turn: turn}
	if len(before.Nodes) == 0 || d.retired(before, newest.Version, turn) {
		return view
	}
	view.Live = []layout.Set{before, newest}
	if turn <= v.closing || d.whole(newest, turn) {
		view.Read = 1
	}
	return view
}

// LayoutNumber is the newest layout version this node knows, 0 if there is none.
func (c *Cluster) LayoutNumber() uint64 {
	doc, _ := c.snapshot()
	return doc.number()
}

// Change returns the newest version, nil if there is none, and the one before it, nil if that is the first.
func (c *Cluster) Change() (before, newest *layout.Version) {
	doc, _ := c.snapshot()
	return doc.Before, doc.Layout
}

// View returns the live replica sets of the partition that a key with this hash prefix belongs to.
//
// Errors: ErrNoLayout with what is missing.
func (c *Cluster) View(prefix layout.Prefix) (View, error) {
	doc, cache := c.snapshot()
	if doc.Layout == nil {
		return View{}, fmt.Errorf("%w: %s", ErrNoLayout, c.Missing())
	}
	return cache.views[layout.PartitionOf(prefix, len(cache.views))], nil
}

// EachView calls f for every partition, in order, with its first and last hash prefix and its live replica
// sets; for none while there is no layout. Where live versions differ in the number of partitions, they are
// those of the finer one.
func (c *Cluster) EachView(f func(first, last layout.Prefix, v View)) {
	_, cache := c.snapshot()
	for p := range cache.views {
		first, last := layout.Partition(p).Range(len(cache.views))
		f(first, last, cache.views[p])
	}
}

// FullView returns the voters of full-copy tables, whose quorums decide, and the members that only learn.
//
// Errors: ErrNoLayout with what is missing.
func (c *Cluster) FullView() (View, error) {
	doc, cache := c.snapshot()
	if doc.Layout == nil {
		return View{}, fmt.Errorf("%w: %s", ErrNoLayout, c.Missing())
	}
	if c.env.Mutant("voters: a zone counts with one node") {
		return careless(cache.full), nil
	}
	return cache.full, nil
}

// Holders are the members that may have stored something, under whatever layout: all that were neither
// removed nor given up.
func (c *Cluster) Holders() (ids []rt.NodeID) {
	doc, _ := c.snapshot()
	for id, m := range doc.Members.All() {
		if !m.Removed && !m.Standing.Lost {
			ids = append(ids, id)
		}
	}
	return ids
}

// careless is v with one node for a majority of each zone: two quorums need not meet.
func careless(v View) View {
	v.Live = slices.Clone(v.Live)
	for i, set := range v.Live {
		zones := slices.Clone(set.Zones)
		for z := range zones {
			zones[z].Write, zones[z].Read = 1, 1
		}
		v.Live[i].Zones = zones
	}
	return v
}

// unknownRTT stands for the distance to a node of another zone that was not measured yet.
const unknownRTT = 10 * time.Second

// Nearest returns nodes by distance: this node, then those of its zone, then by measured round trip, then by
// id.
func (c *Cluster) Nearest(nodes []rt.NodeID) []rt.NodeID {
	_, cache := c.snapshot()
	self := c.env.Self()
	type ranked struct {
		id   rt.NodeID
		rank time.Duration
	}
	rank := make([]ranked, len(nodes))
	for i, id := range nodes {
		rank[i] = ranked{id, c.distance(cache, self, id)}
	}
	slices.SortFunc(rank, func(a, b ranked) int {
		if a.rank != b.rank {
			return cmp.Compare(a.rank, b.rank)
		}
		return a.id.Compare(b.id)
	})
	out := make([]rt.NodeID, len(nodes))
	for i := range rank {
		out[i] = rank[i].id
	}
	return out
}

func (c *Cluster) distance(cache *derived, self, id rt.NodeID) time.Duration {
	if id == self {
		return -1
	}
	if cache.near(self, id) {
		return 0
	}
	if rtt, ok := c.endpoint.RTT(id); ok {
		return rtt.Mean
	}
	return unknownRTT
}

// SameZone reports whether node is this node or in its zone.
func (c *Cluster) SameZone(node rt.NodeID) bool {
	_, cache := c.snapshot()
	self := c.env.Self()
	return node == self || cache.near(self, node)
}

// near reports whether two nodes are known to be in one zone.
func (v *derived) near(a, b rt.NodeID) bool {
	zone, ok := v.zones[a]
	return ok && zone == v.zones[b]
}

// Bounds of Patience.
const (
	patienceMin     = 20 * time.Millisecond
	patienceUnknown = time.Second
)

// Patience is how long an answer from nodes usually takes at most: their largest mean round trip and four
// deviations.
func (c *Cluster) Patience(nodes []rt.NodeID) time.Duration {
	longest := patienceMin
	for _, id := range nodes {
		if id == c.env.Self() {
			continue
		}
		rtt, ok := c.endpoint.RTT(id)
		if !ok {
			return patienceUnknown
		}
		longest = max(longest, rtt.Mean+4*rtt.Dev)
	}
	return longest
}

// Describe names a node for people.
func (c *Cluster) Describe(id rt.NodeID) string {
	doc, cache := c.snapshot()
	name := id.Short()
	if m, ok := doc.Members.Get(id); ok && m.Info.Value.Name != "" {
		name = m.Info.Value.Name
	}
	if zone := cache.zones[id]; zone != "" {
		return fmt.Sprintf("%s (zone %s)", name, zone)
	}
	return name
}

// Status is what a person wants to know of the cluster.
type Status struct {
	ID      []byte
	Founder rt.NodeID
	Nodes   []NodeStatus // ordered by id
	// Roles, ordered by node, and Params are what is wanted: those of the live layout with what is staged.
	Roles  []layout.Role
	Params layout.Params
	Layout *layout.Version // nil before the first
	// Before is the version before it while that is live too: the layout is being changed. Else nil.
	Before *layout.Version
	// Change is how far that has come; nil while no change is going on.
	Change *Progress
	// Copies has, by number, how many partitions have so many replicas in reach that hold all that was
	// acknowledged; this node's view of it. Entry i is of i copies.
	Copies  []int
	Missing string // what the first layout waits for, in words
	// Undecided says, in words, why nothing can be decided now, no new bucket, key or layout: which voters
	// are out of reach. Empty if enough are in reach.
	Undecided string
	// Pending are the staged changes of roles that no layout has yet, PendingParams whether parameters are
	// among them.
	Pending       []layout.Change
	PendingParams bool
	// ClockOffset is how far this node's clock is ahead of the median; beyond hlc.SkewMax its writes are
	// refused.
	ClockOffset time.Duration
}

// NodeStatus is one member, as this node sees it.
type NodeStatus struct {
	ID         rt.NodeID
	Member     Member
	Removed    bool
	Zone       layout.ZoneName
	Capacity   uint64 // staged; 0 for a gateway
	Partitions int    // it stores in the live layout
	Connected  bool
	RTT        time.Duration // 0 if not measured
	// Lost says that an operator gave the node up.
	Lost bool
	// Since and Synced are the first and the newest version of which the node holds everything that is its
	// own; 0 for one that is new, or has lost its store, and a gateway.
	Since, Synced uint64
	// Carried and Closed are the newest versions for which it, as a node of the version before, has carried
	// the registers to the new voters, and refuses what is anchored before.
	Carried, Closed uint64
	// Bandwidth is how fast the member takes what this node sends, in bytes per second; 0 if not measured.
	Bandwidth uint64
}

// Status describes the cluster as this node sees it.
func (c *Cluster) Status() Status {
	doc, cache := c.snapshot()
	s := Status{ID: doc.ID, Founder: doc.Founder, Layout: doc.Layout, Missing: c.Missing(),
		ClockOffset: c.ClockOffset()}
	if doc.beforeLives() {
		s.Before = doc.Before
	}
	s.Change = c.progress(doc, cache)
	s.Copies, s.Undecided = c.copies(doc, cache), c.undecided(cache)
	capacity, held := map[rt.NodeID]uint64{}, map[rt.NodeID]int{}
	staged := doc.staged()
	roles, params := staged.Wanted(doc.Layout)
	s.Roles, s.Params = roles, params
	s.Pending, s.PendingParams = staged.Pending(doc.Layout)
	for _, r := range roles {
		capacity[r.Node] = r.Capacity
	}
	if doc.Layout != nil {
		for i, load := range doc.Layout.Loads() {
			held[doc.Layout.Roles[i].Node] = load
		}
	}
	for id, m := range doc.Members.All() {
		n := NodeStatus{ID: id, Member: m.Info.Value, Removed: m.Removed, Zone: cache.zones[id],
			Capacity:   capacity[id],
			Partitions: held[id], Lost: m.Standing.Lost, Since: m.Standing.Since, Synced: m.Standing.Synced,
			Carried: m.Standing.Carried, Closed: m.Standing.Closed}
		n.Connected = id == c.env.Self() || c.endpoint.Connected(id)
		if rtt, ok := c.endpoint.RTT(id); ok {
			n.RTT = rtt.Mean
		}
		n.Bandwidth = uint64(c.endpoint.Bandwidth(id))
		s.Nodes = append(s.Nodes, n)
	}
	return s
}
