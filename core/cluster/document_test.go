package cluster

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"granary/core/crdt"
	"granary/core/crdt/crdttest"
	"granary/core/hlc"
	"granary/core/layout"
	"granary/core/rt"
)

func someNode(i int) rt.NodeID { return rt.NodeID{byte(i)} }

// versions are layouts, one after the other.
var versions = func() (vs []*layout.Version) {
	roles := func(n int) (roles []layout.Role) {
		for i := range n {
			roles = append(roles, layout.Role{Node: someNode(i + 1), Zone: "z", Capacity: 1 << 30})
		}
		return roles
	}
	params := layout.Params{Replicas: 1, Partitions: 4}
	for n := range 3 {
		var before *layout.Version
		if n > 0 {
			before = vs[n-1]
		}
		v, err := layout.Assign(roles(n+1), params, before)
		if err != nil {
			panic(err)
		}
		vs = append(vs, v)
	}
	return vs
}()

func drawStanding(t *rapid.T) standing {
	n := func(what string) uint64 { return uint64(rapid.IntRange(0, 2).Draw(t, what)) }
	return standing{Life: n("life"), Store: rapid.SampledFrom([][]byte{nil, []byte("a"), []byte("b")}).Draw(t,
		"store"), Since: n("since"), Synced: n("synced"), Carried: n("carried"), Closed: n("closed"),
		Lost: rapid.Bool().Draw(t, "lost")}
}

func drawDocument(t *rapid.T) document {
	var d document
	if rapid.Bool().Draw(t, "founded") {
		d.ID, d.Founder = []byte("0123456789abcdef"), someNode(1)
	}
	stamp := func() hlc.Stamp { return hlc.Stamp(rapid.IntRange(1, 4).Draw(t, "stamp")) }
	for range rapid.IntRange(0, 3).Draw(t, "members") {
		id := someNode(rapid.IntRange(1, 3).Draw(t, "member"))
		m := aMember(id, stamp(), Member{Addr: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "addr")},
			drawStanding(t))
		if rapid.Bool().Draw(t, "removed") {
			m = m.With(id, membership{Removed: true})
		}
		d.Members = d.Members.Join(m)
	}
	for range rapid.IntRange(0, 2).Draw(t, "roles") {
		node := someNode(rapid.IntRange(1, 3).Draw(t, "node"))
		if rapid.Bool().Draw(t, "without") {
			d.Staged = d.Staged.WithoutRole(stamp(), node)
		} else {
			d.Staged = d.Staged.WithRole(stamp(), layout.Role{Node: node, Zone: "z", Capacity: 1})
		}
	}
	if i := rapid.IntRange(-1, len(versions)-1).Draw(t, "version"); i >= 0 {
		if d.Layout = versions[i]; i > 0 {
			d.Before = versions[i-1]
		}
	}
	d.Settled = uint64(rapid.IntRange(0, 2).Draw(t, "settled"))
	first := rapid.IntRange(1, 50).Draw(t, "oldest")
	for n := range rapid.IntRange(0, PastMax).Draw(t, "past") {
		made := pastVersion{Moves: rapid.IntRange(0, 2).Draw(t, "moves")}
		d.Past = d.Past.With(crdt.Uint(first+n), crdt.LWW[pastVersion]{Stamp: stamp(), Value: made})
	}
	return d
}

func TestDocumentLaws(t *testing.T) { crdttest.Laws(t, rapid.Custom(drawDocument)) }

// TestRemovedStays: no join brings a removed member back, nor gives it a role, whatever the stamps (invariant
// 2).
func TestRemovedStays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawDocument(t), drawDocument(t)
		joined := a.Join(b)
		roles, _ := joined.staged().Wanted(nil)
		for _, d := range []document{a, b} {
			for id, m := range d.Members.All() {
				if !m.Removed {
					continue
				}
				if joined.present(id) || !joined.removed(id) {
					t.Fatalf("%v came back", id)
				}
				for _, r := range roles {
					if r.Node == id {
						t.Fatalf("%v was removed and has a role", id)
					}
				}
			}
		}
		if s := joined.stamp(); s < a.stamp() || s < b.stamp() {
			t.Fatalf("stamp %d of the join of %d and %d", s, a.stamp(), b.stamp())
		}
	})
}

func TestMemberValidate(t *testing.T) {
	tests := []struct {
		m    Member
		want []string
	}{
		{Member{Addr: "a:1", Name: "a"}, nil},
		{Member{Addr: "a:1"}, nil},
		{Member{Addr: strings.Repeat("a", AddrMax), Name: strings.Repeat("a", NameMax)}, nil},
		{Member{}, []string{"address \"\""}},
		{Member{Addr: strings.Repeat("a", AddrMax+1), Name: strings.Repeat("b", NameMax+1)},
			[]string{"aaa", "bbb"}},
	}
	for _, tt := range tests {
		err := tt.m.Validate()
		if (err != nil) != (tt.want != nil) || err != nil && !errors.Is(err, ErrBadMember) {
			t.Errorf("%+v: %v", tt.m, err)
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v lacks %q", err, want)
			}
		}
	}
}
