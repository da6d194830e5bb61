package layout

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"granary/core/rt"
)

// villages are all ways to spread up to most nodes over up to five zones, as many in each as the list says.
func villages(most int) (all [][]int) {
	var grow func(list []int, left int)
	grow = func(list []int, left int) {
		if len(list) > 0 {
			all = append(all, slices.Clone(list))
		}
		if len(list) == 5 {
			return
		}
		for n := 1; n <= left && (len(list) == 0 || n <= list[len(list)-1]); n++ {
			grow(append(list, n), left-n)
		}
	}
	grow(nil, most)
	return all
}

// village is the voters of a list of zones; zoneOf has the zone of each.
func village(list []int) (s Set, zoneOf []int) {
	var roles []Role
	for z, n := range list {
		for range n {
			roles = append(roles, Role{Node: rt.NodeID{byte(len(roles) + 1)}, Zone: ZoneName(rune('a' + z)),
				Capacity: 1})
			zoneOf = append(zoneOf, z)
		}
	}
	return Voters(1, roles), zoneOf
}

// these says which nodes are in a mask of their numbers.
func these(mask int) func(rt.NodeID) bool {
	return func(id rt.NodeID) bool { return mask>>(id[0]-1)&1 == 1 }
}

// TestVotersMeet compares the voters of all small clusters with what a quorum must be, by enumeration: two
// write quorums meet, and so do a write quorum and a read quorum; what meets every write quorum is a read
// quorum; more nodes are never less.
func TestVotersMeet(t *testing.T) {
	for _, list := range villages(8) {
		s, zoneOf := village(list)
		all := 1<<len(zoneOf) - 1
		for mask := range all + 1 {
			writes, reads := s.Writes(these(mask)), s.Reads(these(mask))
			rest := all &^ mask
			if writes && (s.Writes(these(rest)) || s.Reads(these(rest))) || writes && !reads {
				t.Fatalf("zones %v: %b and %b are both quorums, or it writes and does not read", list, mask,
					rest)
			}
			if !reads && !s.Writes(these(rest)) {
				t.Fatalf("zones %v: %b does not meet every write quorum, and %b is none", list, mask, rest)
			}
			for n := range zoneOf {
				if more := mask | 1<<n; writes && !s.Writes(these(more)) {
					t.Fatalf("zones %v: %b writes, and %b does not", list, mask, more)
				}
			}
		}
	}
}

// TestVotersSurvive: what is left after the loss of any one zone of three or more, and of any one node of
// three or more, decides.
func TestVotersSurvive(t *testing.T) {
	for _, list := range villages(8) {
		s, zoneOf := village(list)
		all := 1<<len(zoneOf) - 1
		for n := range zoneOf {
			if len(zoneOf) >= 3 && !s.Writes(these(all&^(1<<n))) {
				t.Errorf("zones %v: without node %d nothing is decided", list, n)
			}
		}
		for z := range list {
			left := all
			for n, at := range zoneOf {
				if at == z {
					left &^= 1 << n
				}
			}
			if len(list) >= zonesMin && !s.Writes(these(left)) {
				t.Errorf("zones %v: without zone %d nothing is decided", list, z)
			}
		}
	}
}

// TestVotersWithout: when nodes are given up, the others decide, and quorums still meet; those from before
// too, unless so many are gone that those who are left do not know all that was decided.
func TestVotersWithout(t *testing.T) {
	for _, list := range villages(6) {
		s, zoneOf := village(list)
		all := 1<<len(zoneOf) - 1
		for gone := 1; gone < all; gone++ {
			after := s.Without(these(gone))
			if !after.Writes(these(all &^ gone)) {
				t.Fatalf("zones %v without %b: the others do not decide", list, gone)
			}
			for mask := range all + 1 {
				if mask&gone != 0 || !after.Writes(these(mask)) {
					continue
				}
				rest := all &^ gone &^ mask
				if after.Writes(these(rest)) && after.Reads(these(mask)) {
					t.Fatalf("zones %v without %b: %b and %b both decide", list, gone, mask, rest)
				}
				if s.Reads(these(all&^gone)) && s.Writes(these(rest|gone)) {
					t.Fatalf("zones %v without %b: %b decides, and %b did before", list, gone, mask,
						rest|gone)
				}
			}
		}
	}
}

// TestVotersByZone has the cluster for whose sake zones count.
func TestVotersByZone(t *testing.T) {
	s, _ := village([]int{2, 1, 1})
	for mask, want := range map[int]bool{0b1100: true, 0b0111: true, 0b1011: true, 0b0101: false,
		0b0011: false, 0b1001: false} {
		if got := s.Writes(these(mask)); got != want {
			t.Errorf("%0*b writes: %v", bits.Len(15), mask, got)
		}
	}
	want := "zone a, 1 of 2 nodes of which 2 are needed; zone c, 0 of 1 nodes of which 1 are needed"
	if got := strings.Join(s.Lacking(these(0b0101)), "; "); got != want {
		t.Errorf("lacking %q, want %q", got, want)
	}
	if two, _ := village([]int{2, 1}); two.Zones != nil || fmt.Sprint(two.Write, two.Read) != "2 2" {
		t.Errorf("two zones: %+v", two)
	}
}
