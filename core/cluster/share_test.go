package cluster

import (
	"slices"
	"testing"

	"granary/core/layout"
	"granary/core/rt"
)

// TestShareOfALostStore: a store that was lost has taken over enough exactly when every write quorum, without
// what the lost store knew, has a node that it was taken from; or when there is nobody else. All small
// clusters are tried, those whose voters count by zones among them.
func TestShareOfALostStore(t *testing.T) {
	for _, zones := range [][]int{{1}, {2}, {3}, {5}, {2, 2}, {1, 1, 1}, {2, 1, 1}, {2, 2, 1}, {3, 2, 1},
		{2, 2, 2}, {1, 1, 1, 1}, {2, 1, 1, 1}} {
		var roles []layout.Role
		for z, n := range zones {
			for range n {
				roles = append(roles, layout.Role{Node: rt.NodeID{byte(len(roles))}, Capacity: 1,
					Zone: layout.ZoneName(rune('a' + z))})
			}
		}
		set := layout.Voters(1, roles)
		v := View{Layout: 1, Live: []layout.Set{set}}
		for lost := range set.Nodes {
			g := Goal{Version: 1, Lost: true, Heir: true}
			share, ok := g.Share(set.Nodes[lost], v)
			if !ok {
				t.Fatalf("zones %v: node %d has no share", zones, lost)
			}
			for from := range 1 << len(roles) {
				if from>>lost&1 == 1 {
					continue
				}
				got := share.Done(inMask(from))
				want := meetsAll(set, from) || from == 1<<len(roles)-1-1<<lost
				if got != want {
					t.Errorf("zones %v: node %d, taken from %b: done %v, want %v", zones, lost, from, got,
						want)
				}
			}
		}
	}
}

func inMask(mask int) func(rt.NodeID) bool {
	return func(id rt.NodeID) bool { return mask>>id[0]&1 == 1 }
}

// meetsAll reports whether every write quorum has a node of the mask.
func meetsAll(set layout.Set, mask int) bool {
	for q := range 1 << len(set.Nodes) {
		if set.Writes(inMask(q)) && q&mask == 0 {
			return false
		}
	}
	return true
}

// TestShareOfAMember: who is in sync with the version before counts itself; who is new to a set that is
// readable needs one other at least; a gateway has no share.
func TestShareOfAMember(t *testing.T) {
	ids := []rt.NodeID{{0}, {1}, {2}, {3}}
	before, newest := layout.Majority(1, ids[:3]), layout.Majority(2, ids[1:])
	for _, c := range []struct {
		name string
		goal Goal
		self int
		read int
		need int // of others, in any order; -1: no share
	}{
		{"in sync with the set that is read", Goal{Version: 2, Synced: 1}, 1, 0, 1},
		{"not in sync with it", Goal{Version: 2}, 1, 0, 2},
		{"new, and the set that is read is the old one", Goal{Version: 2}, 3, 0, 2},
		{"new, and the new set is readable", Goal{Version: 2}, 3, 1, 1},
		{"lost, and the new set is readable", Goal{Version: 2, Lost: true, Heir: true}, 3, 1, 2},
		{"lost once, and in sync with the set before", Goal{Version: 2, Synced: 1, Heir: true}, 1, 0, 1},
		{"lost once, and the new set is readable", Goal{Version: 2, Synced: 1, Heir: true}, 3, 1, 2},
		{"behind in the set that is read", Goal{Version: 1, Newest: 2}, 1, 0, 1},
		{"behind in a set that is read no more", Goal{Version: 1, Newest: 2}, 1, 1, 1},
		{"behind in a set that is read no more, not in the new one", Goal{Version: 1, Newest: 2}, 0, 1, 2},
		{"behind, and in the new set alone", Goal{Version: 1, Newest: 2}, 3, 0, -1},
		{"not in the new set", Goal{Version: 2, Synced: 1}, 0, 0, -1},
	} {
		view := View{Layout: 2, Live: []layout.Set{before, newest}, Read: c.read}
		share, ok := c.goal.Share(ids[c.self], view)
		if ok != (c.need >= 0) {
			t.Errorf("%s: has a share: %v", c.name, ok)
		}
		others := slices.DeleteFunc(slices.Clone(share.Set.Nodes), func(id rt.NodeID) bool {
			return id == share.self
		})
		for n := 0; ok && n <= len(others); n++ {
			if got := share.Done(in(others[:n])); got != (n >= c.need) {
				t.Errorf("%s: taken from %d others: done %v, want %d", c.name, n, got, c.need)
			}
		}
	}
}
