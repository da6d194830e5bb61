package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"granary/core/codec"
	"granary/core/crdt"
	"granary/core/hlc"
	"granary/core/layout"
	"granary/core/rt"
)

var kindDocument = codec.Register(0x01, 1, "cluster document")

// Limits of a Member.
const (
	// AddrMax is the longest address, in bytes.
	AddrMax = 256
	// NameMax is the longest name, in bytes.
	NameMax = 128
)

// Member is how a node of the cluster is reached and called.
type Member struct {
	Addr string `cbor:"1,keyasint"` // where peers reach it
	Name string `cbor:"2,keyasint"` // for people
}

// Validate reports every fault of m.
//
// Errors: ErrBadMember.
func (m Member) Validate() error {
	var faults []error
	if m.Addr == "" || len(m.Addr) > AddrMax {
		faults = append(faults, fmt.Errorf("%w: address %.80q: want 1 to %d bytes", ErrBadMember, m.Addr,
			AddrMax))
	}
	if len(m.Name) > NameMax {
		faults = append(faults, fmt.Errorf("%w: name %.80q: want at most %d bytes", ErrBadMember, m.Name,
			NameMax))
	}
	return errors.Join(faults...)
}

// membership is what the cluster says of one node.
type membership struct {
	Info crdt.LWW[Member] `cbor:"1,keyasint"`
	// Removed stays, whatever is joined and whatever the stamps.
	Removed bool `cbor:"2,keyasint,omitempty"`
	// Standing is what the node has done for the layouts.
	Standing standing `cbor:"3,keyasint,omitzero"`
}

// Join implements crdt.Lattice.
func (m membership) Join(o membership) membership {
	return membership{Info: m.Info.Join(o.Info), Removed: m.Removed || o.Removed,
		Standing: m.Standing.join(o.Standing)}
}

// members is the membership of all nodes that ever belonged to the cluster.
type members = crdt.Map[rt.NodeID, membership]

// aMember is the membership of one node, to be joined into a document.
func aMember(id rt.NodeID, stamp hlc.Stamp, m Member, s standing) members {
	return members{}.With(id, membership{Info: crdt.LWW[Member]{Stamp: stamp, Value: m}, Standing: s})
}

// document is all that a cluster's nodes agree on by gossip.
type document struct {
	ID      []byte        `cbor:"1,keyasint,omitempty"` // of the cluster, 16 bytes
	Founder rt.NodeID     `cbor:"2,keyasint"`
	Members members       `cbor:"3,keyasint"`
	Staged  layout.Staged `cbor:"4,keyasint"`
	// Layout is the newest version, nil if there is none yet.
	Layout *layout.Version `cbor:"5,keyasint,omitempty"`
	Past   past            `cbor:"6,keyasint,omitzero"`
	// Before is the version before Layout, which stays live until Settled says that it is retired. nil before
	// the second version.
	Before *layout.Version `cbor:"7,keyasint,omitempty"`
	// Settled is the newest version that is the only live one: all before it are retired.
	Settled uint64 `cbor:"8,keyasint,omitempty"`
}

// number is that of the newest layout version, 0 if there is none.
func (d document) number() uint64 {
	if d.Layout == nil {
		return 0
	}
	return d.Layout.Number
}

// Join implements crdt.Lattice. ID and Founder are set once, by the founder, and documents of different
// clusters are never joined (the lower ID would win). Of two layout versions the one with the greater number
// wins, with the one before it; two of one number do not exist, since versions are chosen.
func (d document) Join(o document) document {
	j := document{ID: d.ID, Founder: d.Founder, Members: d.Members.Join(o.Members),
		Staged: d.Staged.Join(o.Staged), Layout: d.Layout, Before: d.Before,
		Settled: max(d.Settled, o.Settled), Past: joinPast(d.Past, o.Past)}
	if len(d.ID) == 0 || len(o.ID) > 0 && bytes.Compare(o.ID, d.ID) < 0 {
		j.ID, j.Founder = o.ID, o.Founder
	}
	if newer(o.Layout, d.Layout) {
		j.Layout, j.Before = o.Layout, o.Before
	}
	return j
}

func newer(a, b *layout.Version) bool {
	if a == nil || b == nil {
		return a != nil
	}
	if a.Number != b.Number {
		return a.Number > b.Number
	}
	x, y := a.Hash(), b.Hash()
	return slices.Compare(x[:], y[:]) < 0
}

// checkBefore refuses a layout without the version that it follows.
func (d document) checkBefore() error {
	switch {
	case d.Layout.Number == 1 && d.Before == nil:
		return nil
	case d.Before == nil || d.Before.Hash() != d.Layout.Parent:
		return fmt.Errorf("layout version %d of a peer does not come with the one before it", d.Layout.Number)
	}
	return d.Before.Validate()
}

// present reports whether id is a member that was not removed.
func (d document) present(id rt.NodeID) bool {
	m, ok := d.Members.Get(id)
	return ok && !m.Removed
}

// removed reports whether id is a member that was removed.
func (d document) removed(id rt.NodeID) bool {
	m, _ := d.Members.Get(id)
	return m.Removed
}

// members returns those that are not removed, ordered by id.
func (d document) members() []rt.NodeID {
	var ids []rt.NodeID
	for id, m := range d.Members.All() {
		if !m.Removed {
			ids = append(ids, id)
		}
	}
	return ids
}

// staged is what the operators want. A removed member has no role in it, even if one was staged meanwhile,
// nor has one that was given up.
func (d document) staged() layout.Staged {
	s := d.Staged
	for id, m := range d.Members.All() {
		if m.Removed || m.Standing.Lost {
			s = s.WithoutRole(hlc.StampMax, id)
		}
	}
	return s
}

// stamp is the newest in the document; what changes it must be stamped later.
func (d document) stamp() (newest hlc.Stamp) {
	for _, m := range d.Members.All() {
		newest = max(newest, m.Info.Stamp)
	}
	for _, w := range d.Staged.Roles.All() {
		newest = max(newest, w.Stamp)
	}
	for _, made := range d.Past.All() {
		newest = max(newest, made.Stamp)
	}
	return max(newest, d.Staged.Params.Stamp)
}
