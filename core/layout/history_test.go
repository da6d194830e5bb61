package layout

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// chain returns n versions, each of which changes one capacity.
func chain(t *testing.T, n int) []*Version {
	t.Helper()
	var out []*Version
	var prev *Version
	roles := talk()
	for i := range n {
		roles[i%len(roles)].Capacity += uint64(i+1) * terabyte
		params := DefaultParams()
		params.Partitions <<= i % 2
		prev = assign(t, roles, params, prev)
		out = append(out, prev)
	}
	return out
}

func TestHistory(t *testing.T) {
	versions := chain(t, HistoryMax+1)
	var zero History
	if zero.Newest() != nil || zero.Oldest() != nil || len(zero.Sets(1)) != 0 || zero.Version(1) != nil {
		t.Error("the zero history has a version")
	}
	h, err := NewHistory(versions[:2]...)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []Prefix{0, 0x7fff, 0x8000, 0xffff} {
		sets := h.Sets(x)
		for i, v := range versions[:2] {
			want := Set{uint64(i + 1), v.Replicas(PartitionOf(x, v.Params.Partitions)), 2, 2}
			if diff := cmp.Diff(want, sets[i]); diff != "" {
				t.Errorf("prefix %#x (-want +got):\n%s", uint16(x), diff)
			}
		}
	}
	longer, err := h.With(versions[2])
	if err != nil || h.Newest() != versions[1] || longer.Newest() != versions[2] ||
		longer.NewestHash() != versions[2].Hash() {
		t.Errorf("With: %v; it must leave the old history alone", err)
	}
	short := longer.Retired(3)
	if short.Oldest() != versions[2] || short.Version(2) != nil || short.Version(3) != versions[2] ||
		longer.Version(1) == nil {
		t.Error("Retired(3) keeps the wrong versions")
	}
	if got := longer.Retired(99).Versions(); len(got) != 1 || got[0] != versions[2] {
		t.Errorf("Retired(99) left %d versions, want the newest", len(got))
	}
}

func TestHistoryRefuses(t *testing.T) {
	versions := chain(t, HistoryMax+1)
	h, err := NewHistory(versions[:HistoryMax]...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.With(versions[HistoryMax]); !errors.Is(err, ErrChain) {
		t.Errorf("too many versions: %v", err)
	}
	if _, err := NewHistory(versions[0], versions[2]); !errors.Is(err, ErrChain) {
		t.Errorf("gap: %v", err)
	}
	other := assign(t, talk()[:6], DefaultParams(), nil)
	if _, err := NewHistory(other, versions[1]); !errors.Is(err, ErrChain) {
		t.Errorf("other parent: %v", err)
	}
	broken := *versions[1]
	broken.Size++
	if got, err := NewHistory(versions[0], &broken); !errors.Is(err, ErrInvalid) || got.Newest() != nil {
		t.Errorf("invalid: %v", err)
	}
}

func TestQuorums(t *testing.T) {
	for n := 1; n <= ReplicasMax; n++ {
		p := Params{Replicas: n}
		w, r := p.WriteQuorum(), p.ReadQuorum()
		if w+r != n+1 || 2*w <= n || r < 1 {
			t.Errorf("n %d: W %d, R %d", n, w, r)
		}
	}
}

func TestVersionLookups(t *testing.T) {
	v := assign(t, append(talk(), role(8, "pluto", 0)), DefaultParams(), nil)
	total := 0
	for i, r := range v.Roles {
		partitions := v.Partitions(r.Node)
		if len(partitions) != v.Loads()[i] {
			t.Errorf("node %d stores %d partitions, its load is %d", i, len(partitions), v.Loads()[i])
		}
		total += len(partitions)
		if got, ok := v.Role(r.Node); !ok || got.Zone != r.Zone {
			t.Errorf("Role of node %d: %+v, %v", i, got, ok)
		}
	}
	if total != len(v.Table) || len(v.StorageNodes()) != 7 {
		t.Errorf("%d replicas in all, %d storing nodes; want %d, 7", total, len(v.StorageNodes()),
			len(v.Table))
	}
	if _, ok := v.Role(node(99)); ok {
		t.Error("a stranger has a role")
	}
}
