package cluster

import (
	"cmp"
	"slices"

	"granary/core/codec"
	"granary/core/crdt"
	"granary/core/layout"
	"granary/core/rt"
)

var kindDocument = codec.Register(0x01, 1, "cluster document")

// Member is a node of the cluster.
type Member struct {
	Addr    string `cbor:"1,keyasint"` // where peers reach it
	Name    string `cbor:"2,keyasint"` // for people
	Removed bool   `cbor:"3,keyasint,omitempty"`
}

// document is all that a cluster's nodes agree on by gossip.
type document struct {
	ID      []byte                                `cbor:"1,keyasint,omitempty"` // of the cluster, 16 bytes
	Founder rt.NodeID                             `cbor:"2,keyasint"`
	Members crdt.Map[rt.NodeID, crdt.LWW[Member]] `cbor:"3,keyasint"`
	Staged  layout.Staged                         `cbor:"4,keyasint"`
	// Layout is the newest version, nil if there is none yet.
	Layout *layout.Version `cbor:"5,keyasint,omitempty"`
}

// number is that of the newest layout version, 0 if there is none.
func (d document) number() uint64 {
	if d.Layout == nil {
		return 0
	}
	return d.Layout.Number
}

// Join implements crdt.Lattice. ID and Founder are set once, by the founder; of two layout versions the one
// with the greater number wins, at equal numbers the one with the lower hash.
func (d document) Join(o document) document {
	j := document{ID: d.ID, Founder: d.Founder, Members: d.Members.Join(o.Members),
		Staged: d.Staged.Join(o.Staged),
		Layout: d.Layout}
	if len(j.ID) == 0 {
		j.ID, j.Founder = o.ID, o.Founder
	}
	if newer(o.Layout, d.Layout) {
		j.Layout = o.Layout
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

// members returns those that are not removed, ordered by id.
func (d document) members() []rt.NodeID {
	var ids []rt.NodeID
	for id, m := range d.Members.All() {
		if !m.Value.Removed {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b rt.NodeID) int { return cmp.Compare(a.Compare(b), 0) })
	return ids
}
