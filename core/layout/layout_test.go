package layout

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"granary/core/codec"
	"granary/core/goldentest"
	"granary/core/rt"
)

const terabyte = 1_000_000_000_000

func node(i int) rt.NodeID { return rt.NodeID{byte(i >> 8), byte(i), 0xaa} }

func role(i int, zone string, capacity uint64) Role {
	return Role{Node: node(i), Zone: ZoneName(zone), Capacity: capacity}
}

// talk is seven nodes at three sites: 20, 20+10+10 and 5+5+5 TB.
func talk() []Role {
	return []Role{
		role(1, "jupiter", 20*terabyte), role(2, "atuin", 20*terabyte), role(3, "atuin", 10*terabyte),
		role(4, "atuin", 10*terabyte), role(5, "neptune", 5*terabyte), role(6, "neptune", 5*terabyte),
		role(7, "neptune", 5*terabyte),
	}
}

func assign(t interface {
	Helper()
	Fatalf(string, ...any)
}, roles []Role, params Params, prev *Version) *Version {
	t.Helper()
	v, err := Assign(roles, params, prev)
	if err != nil {
		t.Fatalf("Assign: %v", err)
	}
	return v
}

// genCluster draws roles and parameters, small enough that floors and ties matter.
func genCluster() *rapid.Generator[Version] {
	return rapid.Custom(func(t *rapid.T) Version {
		zones := rapid.IntRange(1, 5).Draw(t, "zones")
		most := rapid.SampledFrom([]uint64{30, 1000, 1 << 50}).Draw(t, "most")
		var v Version
		for i := range rapid.IntRange(1, 9).Draw(t, "nodes") {
			at := rapid.IntRange(1, zones).Draw(t, "zone")
			zone := fmt.Sprintf("r%d/z%d", at%3, at)
			v.Roles = append(v.Roles, role(i+1, zone, rapid.Uint64Range(0, most).Draw(t, "capacity")))
		}
		n := rapid.IntRange(1, 5).Draw(t, "replicas")
		v.Params = Params{
			Replicas: n, MinZones: rapid.IntRange(0, n).Draw(t, "minZones"),
			Partitions: 1 << rapid.IntRange(0, 5).Draw(t, "partitions"),
			MinRegions: rapid.IntRange(0, min(n, 3)).Draw(t, "minRegions"),
		}
		return v
	})
}

// TestTalk checks the sizes and movements measured for the well-known example.
func TestTalk(t *testing.T) {
	first := assign(t, talk(), DefaultParams(), nil)
	if got := first.Usable() / 1e9; got != 14883 {
		t.Errorf("usable %d GB, want 14883", got)
	}
	two := DefaultParams()
	two.MinZones = 2
	if got := assign(t, talk(), two, nil).Usable() / 1e9; got != 24854 {
		t.Errorf("usable in two zones %d GB, want 24854", got)
	}
	celeri := talk()
	celeri[6].Capacity = 0
	held := first.Loads()[6]
	giant := append(talk(), role(8, "atuin", 10_000*terabyte))
	doubled := talk()
	doubled[0].Capacity *= 2
	tests := []struct {
		name  string
		roles []Role
		moves int
		gb    uint64
	}{
		{"unchanged", talk(), 0, 14883},
		{"drained node", celeri, held, 10000},
		{"removed node", slices.Delete(talk(), 6, 7), held, 10000},
		{"node doubled whose zone is no bottleneck", doubled, 0, 14883},
		{"gateway in a zone of its own", append(talk(), role(8, "pluto", 0)), 0, 14883},
		{"giant node where there is enough", giant, 0, 14883},
		{"node added to the bottleneck", append(talk(), role(8, "neptune", 10*terabyte)), 64, 20000},
		{"a fourth zone", append(talk(), role(8, "mars", 10*terabyte)), 113, 22456},
	}
	if got, want := first.Moves(nil), 3*256; got != want {
		t.Errorf("a first table moves %d replicas, want %d", got, want)
	}
	for _, tt := range tests {
		v := assign(t, tt.roles, DefaultParams(), first)
		if got, gb := v.Moves(first), v.Usable()/1e9; got != tt.moves || gb != tt.gb {
			t.Errorf("%s: %d moves, %d GB; want %d, %d", tt.name, got, gb, tt.moves, tt.gb)
		}
	}
}

// TestDoubling: partitions that are doubled stay where they are, and the next change makes use of them.
func TestDoubling(t *testing.T) {
	first := assign(t, talk(), DefaultParams(), nil)
	params := DefaultParams()
	params.Partitions = 1024
	doubled := assign(t, talk(), params, first)
	if doubled.Moves(first) != 0 || doubled.Split != 2 || doubled.Usable()>>20 != first.Usable()>>20 {
		t.Errorf("%d moves, split %d, usable %d of %d", doubled.Moves(first), doubled.Split, doubled.Usable(),
			first.Usable())
	}
	again := assign(t, talk(), params, doubled)
	if again.Moves(doubled) != 0 || again.Split != 2 {
		t.Errorf("unchanged: %d moves, split %d", again.Moves(doubled), again.Split)
	}
	if err := again.Verify(doubled); err != nil {
		t.Error(err)
	}
	wider := append(talk(), role(8, "pluto", 0))
	finer := assign(t, wider, params, again)
	if finer.Split != 0 || finer.Usable() <= doubled.Usable() || finer.Moves(again) == 0 {
		t.Errorf("after a change: split %d, usable %d of %d, %d moves", finer.Split, finer.Usable(),
			doubled.Usable(), finer.Moves(again))
	}
	due := finer.Moves(again)
	if _, err := Rebalance(again, due-1); !errors.Is(err, ErrParams) {
		t.Errorf("a rebalance with too few moves: %v", err)
	}
	if v, err := Rebalance(again, due); err != nil || v.Split != 0 || v.Usable() != finer.Usable() {
		t.Errorf("a rebalance: %v", err)
	}
	broken := *again
	broken.Table = slices.Clone(again.Table)
	copy(broken.Table[:3], again.Table[len(again.Table)-3:])
	copy(broken.Table[len(again.Table)-3:], again.Table[:3])
	err := broken.Validate()
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "was one with") {
		t.Errorf("halves on different nodes: %v", err)
	}
}

// TestPartitionSplit: doubling the partitions moves nothing that the capacities do not ask for.
func TestPartitionSplit(t *testing.T) {
	roles := []Role{role(1, "a", 100<<30), role(2, "b", 100<<30), role(3, "c", 100<<30)}
	params := DefaultParams()
	first := assign(t, roles, params, nil)
	params.Partitions *= 2
	second := assign(t, roles, params, first)
	if got := second.Moves(first); got != 0 {
		t.Errorf("%d moves, want 0", got)
	}
	params.Partitions /= 4
	if got := assign(t, roles, params, second).Moves(second); got != 0 {
		t.Errorf("%d moves when joined, want 0", got)
	}
}

// TestSpread: in a plain cluster of six nodes at three sites every pair of sites' nodes share partitions.
func TestSpread(t *testing.T) {
	var roles []Role
	for i := range 6 {
		roles = append(roles, role(i, fmt.Sprintf("z%d", i/2), terabyte))
	}
	v := assign(t, roles, DefaultParams(), nil)
	pairs := map[[2]uint16]int{}
	for p := range Partition(v.Params.Partitions) {
		row := v.Row(p)
		for i, a := range row {
			for _, b := range row[i+1:] {
				pairs[[2]uint16{a, b}]++
			}
		}
	}
	for pair, n := range pairs {
		if n < 40 || n > 90 {
			t.Errorf("nodes %v share %d of 256 partitions, want about 64", pair, n)
		}
	}
	if len(pairs) != 12 {
		t.Errorf("%d pairs of nodes meet, want 12", len(pairs))
	}
}

func TestRefusals(t *testing.T) {
	params := func(n, zones, partitions int) Params {
		return Params{Replicas: n, MinZones: zones, Partitions: partitions}
	}
	a, b := role(1, "a", 100), role(2, "b", 100)
	tests := []struct {
		name   string
		roles  []Role
		params Params
		want   error
		text   string
	}{
		{"no nodes", nil, DefaultParams(), ErrTooFewNodes, "0 storing nodes, 3 needed"},
		{"gateways do not count", []Role{a, b, role(3, "c", 0)}, DefaultParams(), ErrTooFewNodes,
			"2 storing"},
		{"zones", []Role{a, role(2, "a", 1)}, params(2, 2, 1), ErrTooFewZones, `nodes ["a"], 2 needed`},
		{"tiny", []Role{a, b}, params(2, 2, 256), ErrCapacity, "check their units"},
		{"replicas", []Role{a}, params(0, 0, 1), ErrParams, "replicas 0: want 1 to 16"},
		{"zones over replicas", []Role{a, b}, params(1, 2, 1), ErrParams, "zones 2: want 0 to 1"},
		{"partitions", []Role{a}, params(1, 1, 100), ErrParams, "partitions 100: want a power of two"},
		{"partitions over the limit", []Role{a}, params(1, 1, 1<<17), ErrParams, "up to 65536"},
		{"tolerance", []Role{a}, Params{Replicas: 1, MinZones: 1, Partitions: 1, Tolerance: 9999}, ErrParams,
			"tolerance 9999"},
		{"twice", []Role{a, b, a}, params(1, 1, 1), ErrParams, "has two roles"},
		{"no zone", []Role{role(1, "", 5)}, params(1, 1, 1), ErrParams, "zone \"\""},
		{"no id", []Role{{Zone: "a", Capacity: 5}}, params(1, 1, 1), ErrParams, "no node id"},
		{"capacity", []Role{role(1, "a", 1<<61)}, params(1, 1, 1), ErrParams, "want at most"},
		{"tag", []Role{{Node: node(1), Zone: "a", Tags: []string{"\xff"}}}, params(1, 1, 1), ErrParams,
			"tag"},
	}
	for _, tt := range tests {
		_, err := Assign(tt.roles, tt.params, nil)
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v; want %v with %q", tt.name, err, tt.want, tt.text)
		}
	}
	_, err := Assign([]Role{role(1, "", 5)}, Params{Replicas: 99, Partitions: 3}, nil)
	if text := err.Error(); !strings.Contains(text, "99") || !strings.Contains(text, "partitions 3") {
		t.Errorf("not every fault is named: %v", err)
	}
}

// TestShuffledInput: the order in which roles and tags are given does not matter.
func TestShuffledInput(t *testing.T) {
	roles := talk()
	for i := range roles {
		roles[i].Tags = []string{"ssd", "old", "paris"}
	}
	first := assign(t, roles, DefaultParams(), nil)
	grown := append(roles, role(8, "neptune", 10*terabyte))
	second := assign(t, grown, DefaultParams(), first)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		shuffled := slices.Clone(grown)
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for i := range shuffled {
			tags := slices.Clone(shuffled[i].Tags)
			rng.Shuffle(len(tags), func(i, j int) { tags[i], tags[j] = tags[j], tags[i] })
			shuffled[i].Tags = tags
		}
		if got := assign(t, shuffled, DefaultParams(), first).Hash(); got != second.Hash() {
			t.Fatalf("hash %v from another order, want %v", got, second.Hash())
		}
	}
}

// TestGoldenHash pins the tables: all nodes of a cluster must compute these, on every machine.
func TestGoldenHash(t *testing.T) {
	var out strings.Builder
	line := func(name string, v *Version) {
		fmt.Fprintf(&out, "%s: size %d hash %v\n", name, v.Size, v.Hash())
	}
	first := assign(t, talk(), DefaultParams(), nil)
	line("talk", first)
	added := assign(t, append(talk(), role(8, "neptune", 10*terabyte)), DefaultParams(), first)
	line("talk, node added", added)
	fmt.Fprintf(&out, "turns of that change: %v\n", PartTurns(first, added))
	line("talk, zone added", assign(t, append(talk(), role(8, "mars", 10*terabyte)), DefaultParams(), first))
	two := Params{Replicas: 3, MinZones: 2, Partitions: 256, Tolerance: 100}
	line("talk, two zones, 1 %", assign(t, talk(), two, first))
	line("talk, split", assign(t, talk(), Params{Replicas: 3, Partitions: 1024}, first))
	many := bigCluster(100, 10)
	line("100 nodes", assign(t, many, Params{Replicas: 3, Partitions: 1024}, nil))
	small, err := assign(t, talk()[:3], Params{Replicas: 2, MinZones: 2, Partitions: 4}, nil).Seal()
	if err != nil {
		t.Fatal(err)
	}
	out.WriteString(hex.Dump(small))
	goldentest.Check(t, "testdata/versions.txt", out.String())
}

func bigCluster(nodes, zones int) []Role {
	var roles []Role
	for i := range nodes {
		roles = append(roles, role(i+1, fmt.Sprintf("z%02d", i%zones), uint64(4+(i*7919)%13)*terabyte))
	}
	return roles
}

func TestPartitionOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		partitions := 1 << rapid.IntRange(0, 16).Draw(t, "bits")
		x := Prefix(rapid.Uint16().Draw(t, "x"))
		p := PartitionOf(x, partitions)
		first, last := p.Range(partitions)
		if int(p) >= partitions || x < first || x > last || int(last-first)+1 != 1<<16/partitions {
			t.Fatalf("prefix %d: partition %d of %d, [%d, %d]", x, p, partitions, first, last)
		}
		if twice := PartitionOf(x, min(2*partitions, PartitionsMax)); partitions < PartitionsMax &&
			twice>>1 != p {
			t.Fatalf("prefix %d: partition %d splits into %d", x, p, twice)
		}
	})
	if got := PrefixOf([]byte("bucket")); got != 0x7517 {
		t.Errorf("prefix %#x of a known key", uint16(got))
	}
}

func TestSealAndOpen(t *testing.T) {
	v := assign(t, talk(), DefaultParams(), nil)
	sealed, err := v.Seal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := OpenVersion(sealed)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v, back); diff != "" || back.Hash() != v.Hash() {
		t.Errorf("-want +got:\n%s", diff)
	}
	broken := *v
	broken.Size++
	if sealed, err = broken.Seal(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenVersion(sealed); !errors.Is(err, ErrInvalid) {
		t.Errorf("a sealed invalid version: %v, want ErrInvalid", err)
	}
}

func FuzzOpenVersion(f *testing.F) {
	for _, params := range []Params{
		{Replicas: 1, MinZones: 1, Partitions: 1}, {Replicas: 2, MinZones: 2, Partitions: 4},
		{Replicas: 3, MinZones: 2, Partitions: 8, Tolerance: 100},
	} {
		v, err := Assign(talk(), params, nil)
		if err != nil {
			f.Fatal(err)
		}
		payload, err := codec.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v Version
		if codec.Unmarshal(data, &v) != nil || v.Validate() != nil {
			return
		}
		if _, err := Assign(v.Roles, v.Params, &v); err != nil {
			t.Fatalf("a valid version has no successor: %v", err)
		}
	})
}

func BenchmarkAssign(b *testing.B) {
	for _, bb := range []struct{ nodes, partitions, zones int }{
		{7, 256, 0}, {100, 1024, 0}, {100, 1024, 2}, {1000, 1024, 0}, {1000, 16384, 0}, {1000, 16384, 2},
	} {
		params := Params{Replicas: 3, MinZones: bb.zones, Partitions: bb.partitions}
		roles := bigCluster(bb.nodes, min(10, bb.nodes/2))
		first, err := Assign(roles, params, nil)
		if err != nil {
			b.Fatal(err)
		}
		name := fmt.Sprintf("%dx%dx%d/", bb.nodes, bb.partitions, bb.zones)
		b.Run(name+"first", func(b *testing.B) {
			for b.Loop() {
				_, _ = Assign(roles, params, nil)
			}
		})
		renewed := slices.Clone(roles)
		for i := range renewed[:len(renewed)/10] {
			renewed[i].Node = node(5000 + i)
		}
		b.Run(name+"tenth", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Assign(renewed, params, first)
			}
		})
		b.Run(name+"remove", func(b *testing.B) {
			b.ReportAllocs()
			moves := 0
			for b.Loop() {
				v, err := Assign(roles[1:], params, first)
				if err != nil {
					b.Fatal(err)
				}
				moves = v.Moves(first)
			}
			b.ReportMetric(float64(moves), "moves")
		})
	}
}
