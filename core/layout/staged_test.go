package layout

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"granary/core/codec"
	"granary/core/crdt/crdttest"
	"granary/core/hlc"
)

func genStaged() *rapid.Generator[Staged] {
	return rapid.Custom(func(t *rapid.T) (s Staged) {
		for range rapid.IntRange(0, 4).Draw(t, "n") {
			stamp := hlc.Stamp(rapid.Uint64Range(1, 4).Draw(t, "stamp"))
			id := rapid.IntRange(1, 3).Draw(t, "node")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				s = s.WithoutRole(stamp, node(id))
			case 1:
				s = s.WithParams(stamp, Params{Replicas: rapid.IntRange(1, 3).Draw(t, "replicas"),
					Partitions: 4})
			default:
				r := role(id, "z", rapid.Uint64Range(10, 12).Draw(t, "capacity"))
				r.Tags = rapid.SampledFrom([][]string{nil, {"b", "a"}}).Draw(t, "tags")
				s = s.WithRole(stamp, r)
			}
		}
		return s
	})
}

func TestStagedLaws(t *testing.T) { crdttest.Laws(t, genStaged()) }

// TestStagedStory: two operators stage changes apart; both are in the next version; a later word beats an
// earlier.
func TestStagedStory(t *testing.T) {
	first := assign(t, talk(), DefaultParams(), nil)
	ann := Staged{}.WithRole(10, role(8, "mars", 5*terabyte)).WithoutRole(11, node(7))
	twoZones := Params{Replicas: 3, MinZones: 2, Partitions: 256}
	bob := Staged{}.WithRole(12, role(8, "mars", 9*terabyte)).WithParams(12, twoZones)
	both := ann.Join(bob)
	changes, params := both.Pending(first)
	var got []string
	for _, c := range changes {
		got = append(got, fmt.Sprintf("%s %v %v", c.Node.Short(), c.From != nil, c.To != nil))
	}
	want := []string{node(7).Short() + " true false", node(8).Short() + " false true"}
	if diff := cmp.Diff(want, got); diff != "" || !params {
		t.Fatalf("pending, parameters %v (-want +got):\n%s", params, diff)
	}
	second, err := both.Next(first)
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := second.Role(node(8)); !ok || r.Capacity != 9*terabyte || second.Params.MinZones != 2 {
		t.Errorf("role %+v %v, parameters %+v", r, ok, second.Params)
	}
	if _, ok := second.Role(node(7)); ok {
		t.Error("the removed node has a role")
	}
	if changes, params := both.Pending(second); len(changes) > 0 || params {
		t.Errorf("still pending: %v, parameters %v", changes, params)
	}
	resized := both.WithRole(20, role(1, "jupiter", terabyte))
	changes, _ = resized.Pending(second)
	if len(changes) != 1 || changes[0].From == nil || changes[0].To == nil {
		t.Errorf("pending %v, want one change", changes)
	}
	if changes, params := (Staged{}).Pending(nil); len(changes) > 0 || !params {
		t.Errorf("nothing staged and no layout: %v, %v", changes, params)
	}
}

func FuzzStaged(f *testing.F) {
	s := Staged{}.WithRole(1, role(1, "a", 5)).WithoutRole(2, node(2)).WithParams(3, DefaultParams())
	payload, err := codec.Marshal(s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var s Staged
		if codec.Unmarshal(data, &s) != nil {
			return
		}
		if v, err := s.Next(nil); err == nil && v.Validate() != nil {
			t.Fatalf("invalid version from %+v", s)
		}
	})
}
