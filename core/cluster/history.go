package cluster

import (
	"fmt"
	"maps"
	"slices"

	"granary/core/crdt"
	"granary/core/hlc"
	"granary/core/layout"
	"granary/core/rt"
)

// PastMax is how many versions of the layout the history keeps, the live one included.
const PastMax = 32

// past is the history: the newest PastMax versions by number, each with the stamp at which it was made.
type past = crdt.Map[crdt.Uint, crdt.LWW[pastVersion]]

// pastVersion is what the history keeps of a version: not the roles, but what it changed in those of the
// version before it, so that the roles of every one can be worked out from the live version's.
type pastVersion struct {
	Hash    layout.Hash     `cbor:"1,keyasint"`
	Parent  layout.Hash     `cbor:"2,keyasint"`
	Params  layout.Params   `cbor:"3,keyasint"`
	Changes []layout.Change `cbor:"4,keyasint,omitempty"`
	Usable  uint64          `cbor:"5,keyasint"`
	Moves   int             `cbor:"6,keyasint"`
}

// joinPast keeps the newest PastMax versions of both. That is a join too, since what it leaves out is below
// PastMax others in every later join.
func joinPast(a, b past) past {
	all := a.Join(b)
	spare := all.Len() - PastMax
	if spare <= 0 {
		return all
	}
	var kept past
	for number, made := range all.All() {
		if spare--; spare < 0 {
			kept = kept.With(number, made)
		}
	}
	return kept
}

// recorded is the history of one version, to be joined into a document. A nil prev is before the first.
func recorded(stamp hlc.Stamp, v, prev *layout.Version) past {
	var had []layout.Role
	if prev != nil {
		had = prev.Roles
	}
	return past{}.With(crdt.Uint(v.Number), crdt.LWW[pastVersion]{Stamp: stamp, Value: pastVersion{
		Hash: v.Hash(), Parent: v.Parent, Params: v.Params, Changes: layout.Changes(had, v.Roles),
		Usable: v.Usable(), Moves: v.Moves(prev)}})
}

// roles returns the roles and parameters of a version of the history, by undoing, from the live version on,
// what each version changed.
//
// Errors: ErrNoLayout, ErrNoVersion.
func (d document) roles(number uint64) ([]layout.Role, layout.Params, error) {
	if d.Layout == nil {
		return nil, layout.Params{}, ErrNoLayout
	}
	roles, hash := map[rt.NodeID]layout.Role{}, d.Layout.Hash()
	for _, r := range d.Layout.Roles {
		roles[r.Node] = r
	}
	for n := d.Layout.Number; ; n-- {
		made, ok := d.Past.Get(crdt.Uint(n))
		if !ok || made.Value.Hash != hash || number > n || n == 0 {
			return nil, layout.Params{}, fmt.Errorf("layout version %d: %w: %s", number, ErrNoVersion,
				d.kept())
		}
		if n == number {
			byNode := func(a, b layout.Role) int { return a.Node.Compare(b.Node) }
			return slices.SortedFunc(maps.Values(roles), byNode), made.Value.Params, nil
		}
		for _, c := range made.Value.Changes {
			if delete(roles, c.Node); c.From != nil {
				roles[c.Node] = *c.From
			}
		}
		hash = made.Value.Parent
	}
}

// kept says which versions the history has.
func (d document) kept() string {
	first, last := crdt.Uint(0), crdt.Uint(0)
	for number := range d.Past.All() {
		if first == 0 {
			first = number
		}
		last = number
	}
	if first == 0 {
		return "it is empty"
	}
	return fmt.Sprintf("it has %d to %d", first, last)
}

// PastVersion is a version of the layout as the history has it.
type PastVersion struct {
	Number uint64
	Hash   layout.Hash
	Made   hlc.Stamp
	Params layout.Params
	// Changes are what it changed in the roles of the version before it, ascending by node.
	Changes []layout.Change
	Usable  uint64 // bytes, replicas not counted
	Moves   int    // replicas that it placed elsewhere; all of them in the first version
}

// History returns the newest versions of the layout, oldest first, at most PastMax.
func (c *Cluster) History() []PastVersion {
	doc, _ := c.snapshot()
	var list []PastVersion
	for number, made := range doc.Past.All() {
		v := made.Value
		list = append(list, PastVersion{Number: uint64(number), Hash: v.Hash, Made: made.Stamp,
			Params: v.Params, Changes: v.Changes, Usable: v.Usable, Moves: v.Moves})
	}
	return list
}
