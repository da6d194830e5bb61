package layout

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"granary/core/rt"
)

// TestWaves replays the waves of random changes, with parameters and nodes of all sorts changed, and
// checks what each wave promises.
func TestWaves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genCluster().Draw(t, "cluster")
		prev, err := Assign(c.Roles, c.Params, nil)
		if err != nil {
			return
		}
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			c = changeCluster(t, c)
		}
		next, err := Assign(c.Roles, c.Params, prev)
		if err != nil {
			return
		}
		perNode := rapid.IntRange(1, 4).Draw(t, "perNode")
		var down []rt.NodeID
		if rapid.Bool().Draw(t, "down") {
			down = append(down, rapid.SampledFrom(prev.Roles).Draw(t, "node").Node)
		}
		replay(t, prev, next, perNode, down)
	})
}

func replay(t *rapid.T, prev, next *Version, perNode int, down []rt.NodeID) {
	partitions := next.Params.Partitions
	zone := func(n rt.NodeID) ZoneName {
		role, ok := next.Role(n)
		if !ok {
			role, _ = prev.Role(n)
		}
		return role.Zone
	}
	spread := func(row []rt.NodeID) (zones, regions int) {
		names, areas := map[ZoneName]bool{}, map[string]bool{}
		for _, n := range row {
			names[zone(n)], areas[zone(n).Region()] = true, true
		}
		return len(names), len(areas)
	}
	rows := make([][]rt.NodeID, partitions)
	for p := range rows {
		rows[p] = slices.Clone(previousNodes(prev, p, partitions))
	}
	moves := 0
	for _, wave := range Waves(prev, next, perNode, down) {
		in, out, of := map[rt.NodeID]int{}, map[rt.NodeID]int{}, map[Partition]int{}
		for _, m := range wave {
			row := rows[m.Partition]
			holders := previousNodes(prev, int(m.Partition), partitions)
			zones, regions := spread(row)
			finalZones, finalRegions := spread(next.Replicas(m.Partition))
			if slices.Contains(row, m.To) || !m.Drop.IsZero() && !slices.Contains(row, m.Drop) {
				t.Fatalf("%v of row %v", m, row)
			}
			if m.From.IsZero() != !slices.ContainsFunc(holders, func(n rt.NodeID) bool {
				return !slices.Contains(down, n)
			}) || !m.From.IsZero() && (!slices.Contains(holders, m.From) || slices.Contains(down, m.From)) {
				t.Fatalf("%v: held by %v, of which %v are down", m, holders, down)
			}
			row = append(slices.DeleteFunc(row, func(n rt.NodeID) bool { return n == m.Drop }), m.To)
			if z, r := spread(row); z < min(zones, finalZones) || r < min(regions, finalRegions) {
				t.Fatalf("%v leaves %v in %d zones of %d regions, want %d of %d", m, row, z, r,
					min(zones, finalZones), min(regions, finalRegions))
			}
			rows[m.Partition] = row
			in[m.To]++
			of[m.Partition]++
			if !m.From.IsZero() {
				out[m.From]++
			}
			moves++
			if in[m.To] > perNode || out[m.From] > perNode ||
				of[m.Partition] > max(1, next.Params.Replicas-next.Params.WriteQuorum()) {
				t.Fatalf("too much in one wave: %v", wave)
			}
		}
	}
	if want := next.Moves(prev); moves != want {
		t.Fatalf("%d moves, want %d", moves, want)
	}
	for p, row := range rows {
		for _, n := range next.Replicas(Partition(p)) {
			if !slices.Contains(row, n) {
				t.Fatalf("partition %d ends on %v, want %v", p, row, next.Replicas(Partition(p)))
			}
		}
	}
}

// TestWaveCount: the well-known example's changes take as few waves as the busiest receiver allows.
func TestWaveCount(t *testing.T) {
	first := assign(t, talk(), DefaultParams(), nil)
	zone := append(talk(), role(8, "mars", 5*terabyte), role(9, "mars", 5*terabyte))
	zone = append(zone, role(10, "mars", 9*terabyte))
	for name, roles := range map[string][]Role{
		"remove a node of neptune": talk()[:6], "unchanged": talk(),
		"add a node in neptune": append(talk(), role(8, "neptune", 10*terabyte)),
		"a new zone of nodes":   zone,
	} {
		next := assign(t, roles, DefaultParams(), first)
		gained, busiest := map[uint16]int{}, 0
		for p := range Partition(256) {
			for _, i := range next.Row(p) {
				if !slices.Contains(first.Replicas(p), next.Roles[i].Node) {
					gained[i]++
					busiest = max(busiest, gained[i])
				}
			}
		}
		for _, perNode := range []int{1, 4, 16} {
			want := (busiest + perNode - 1) / perNode
			if got := len(Waves(first, next, perNode, nil)); got != want {
				t.Errorf("%s: %d waves of %d a node, want %d", name, got, perNode, want)
			}
		}
	}
}

// TestPartTurns: a partition has its turn when its last replica is in place: what is in place after a wave
// has no later turn than what is after the next one, and there are not more turns than there may be.
func TestPartTurns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genCluster().Draw(t, "cluster")
		prev, err := Assign(c.Roles, c.Params, nil)
		if err != nil {
			return
		}
		c = changeCluster(t, c)
		next, err := Assign(c.Roles, c.Params, prev)
		if err != nil {
			return
		}
		last := make([]int, next.Params.Partitions) // wave
		waves := Waves(prev, next, TransfersPerNode, nil)
		for i, wave := range waves {
			for _, m := range wave {
				last[m.Partition] = i
			}
		}
		byWave := make([]int, max(1, len(waves)))
		for p, turn := range PartTurns(prev, next) {
			if turn <= FullTurn || turn > LastTurn {
				t.Fatalf("partition %d: turn %d", p, turn)
			}
			if was := byWave[last[p]]; was != 0 && was != turn {
				t.Fatalf("wave %d has turns %d and %d", last[p], was, turn)
			}
			byWave[last[p]] = turn
		}
		byWave = slices.DeleteFunc(byWave, func(turn int) bool { return turn == 0 })
		if !slices.IsSorted(byWave) {
			t.Fatalf("turns by wave: %v", byWave)
		}
	})
}
