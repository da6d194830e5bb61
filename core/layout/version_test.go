package layout

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSet(t *testing.T) {
	params := DefaultParams()
	first := assign(t, talk(), params, nil)
	params.Partitions *= 2
	for _, v := range []*Version{first, assign(t, talk(), params, first)} {
		for _, x := range []Prefix{0, 0x7fff, 0x8000, 0xffff} {
			want := Set{Version: v.Number, Nodes: v.Replicas(PartitionOf(x, v.Params.Partitions)), Write: 2,
				Read: 2}
			if diff := cmp.Diff(want, v.Set(x)); diff != "" {
				t.Errorf("version %d, prefix %#x (-want +got):\n%s", v.Number, uint16(x), diff)
			}
		}
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
