package plan

import (
	"cmp"
	"maps"
	"slices"

	"granary/core/layout"
	"granary/core/rt"
)

// member is a node of the layout, of the one before, or of both.
type member struct {
	id       rt.NodeID
	was, is  layout.Role // zero for none
	had, has int         // partitions of the new layout
	kept     int
	stored   uint64 // bytes of what it had
	will     uint64 // bytes of what it has
	arriving uint64 // bytes of what it gains
}

// role is what the node is, or was if it leaves.
func (n *member) role() layout.Role {
	if n.is.Node.IsZero() {
		return n.was
	}
	return n.is
}

// crowd is the members of both layouts, ascending, with the rows of the tables as numbers of members.
type crowd struct {
	members []member
	before  [][]int // by partition of the new layout; nil without a version in force
	after   [][]int
}

// gather returns the crowd of a change, without rows.
func gather(in *Input) *crowd {
	c := &crowd{}
	var old []layout.Role
	if in.Previous != nil {
		old = in.Previous.Roles
	}
	for _, r := range old {
		c.members = append(c.members, member{id: r.Node, was: r})
	}
	for _, r := range in.Roles {
		if i, ok := c.find(r.Node, len(old)); ok {
			c.members[i].is = r
		} else {
			c.members = append(c.members, member{id: r.Node, is: r})
		}
	}
	slices.SortFunc(c.members, func(a, b member) int { return a.id.Compare(b.id) })
	return c
}

func (c *crowd) find(node rt.NodeID, among int) (int, bool) {
	return slices.BinarySearchFunc(c.members[:among], node, func(m member, id rt.NodeID) int {
		return m.id.Compare(id)
	})
}

// numbers returns the member of each role.
func (c *crowd) numbers(roles []layout.Role) []int {
	out := make([]int, len(roles))
	for i, r := range roles {
		out[i], _ = c.find(r.Node, len(c.members))
	}
	return out
}

// rows translates the tables and counts what each member had, has and keeps.
func (c *crowd) rows(in *Input, next *layout.Version) {
	translate := func(v *layout.Version, partition layout.Partition, number []int) []int {
		row := v.Row(partition)
		out := make([]int, len(row))
		for i, index := range row {
			out[i] = number[index]
		}
		return out
	}
	prev := in.Previous
	number := c.numbers(next.Roles)
	var old []int
	if prev != nil {
		old = c.numbers(prev.Roles)
	}
	for p := range layout.Partition(next.Params.Partitions) {
		after := translate(next, p, number)
		c.after = append(c.after, after)
		bytes := in.bytesOf(p, next.Params.Partitions)
		for _, n := range after {
			c.members[n].has++
			c.members[n].will += bytes
		}
		if prev == nil {
			continue
		}
		first, _ := p.Range(next.Params.Partitions)
		before := translate(prev, prev.PartitionOf(first), old)
		c.before = append(c.before, before)
		for _, n := range after {
			if !slices.Contains(before, n) {
				c.members[n].arriving += bytes
			}
		}
		for _, n := range before {
			c.members[n].had++
			c.members[n].stored += bytes
			if slices.Contains(after, n) {
				c.members[n].kept++
			}
		}
	}
}

// bytesOf returns what a replica of one of so many partitions holds now; 0 if it was not measured.
func (in *Input) bytesOf(p layout.Partition, partitions int) uint64 {
	if len(in.PartitionBytes) == 0 {
		return 0
	}
	first, last := p.Range(partitions)
	from, to := in.Previous.PartitionOf(first), in.Previous.PartitionOf(last)
	if from == to {
		parts := max(1, partitions/len(in.PartitionBytes))
		return in.PartitionBytes[from] / uint64(parts)
	}
	sum := uint64(0)
	for _, bytes := range in.PartitionBytes[from : to+1] {
		sum += bytes
	}
	return sum
}

// describe fills Nodes and Zones.
func (m *maker) describe() {
	m.Nodes = make([]Node, 0, len(m.crowd.members))
	zones := map[string]*Zone{}
	for i := range m.crowd.members {
		n := m.node(&m.crowd.members[i])
		m.Nodes = append(m.Nodes, n)
		z := zones[n.Zone]
		if z == nil {
			z = &Zone{Name: n.Zone}
			zones[n.Zone] = z
		}
		m.addToZone(z, n, m.crowd.members[i].is)
	}
	slices.SortFunc(m.Nodes, func(a, b Node) int {
		return cmp.Or(boolOrder(a.Removed, b.Removed), cmp.Compare(a.Zone, b.Zone),
			cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	m.Zones = []Zone{}
	for _, name := range slices.Sorted(maps.Keys(zones)) {
		z := zones[name]
		z.Used = m.used(z.After, z.Capacity)
		m.Zones = append(m.Zones, *z)
	}
}

func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// used is the share of a capacity that so many full partitions take.
func (m *maker) used(partitions int, capacity uint64) float64 {
	if m.Next == nil {
		return 0
	}
	return ratio(float64(partitions)*float64(m.Next.Size), float64(capacity))
}

func (m *maker) node(c *member) Node {
	r := c.role()
	n := Node{
		ID: c.id.String(), Name: m.in.name(c.id), Zone: string(r.Zone), Capacity: c.is.Capacity,
		Was: c.was.Capacity, Before: c.had, After: c.has, Gained: c.has - c.kept, Lost: c.had - c.kept,
		Stored: c.stored, Will: c.will, Added: m.in.Previous != nil && c.was.Node.IsZero(),
		Removed: c.is.Node.IsZero(), Down: m.in.down(c.id),
	}
	if m.Next == nil || !c.is.Stores() {
		return n
	}
	n.Used = m.used(c.has, n.Capacity)
	n.BelowSize = n.Capacity < m.Next.Size
	n.Limits = m.bound.Loss(c.id) > 0
	n.Price, _ = m.bound.Gain(c.id).Rat().Float64()
	return n
}

func (m *maker) addToZone(z *Zone, n Node, is layout.Role) {
	z.Capacity += n.Capacity
	z.Before += n.Before
	z.After += n.After
	z.Gained += n.Gained
	z.Lost += n.Lost
	z.Limits = z.Limits || n.Limits
	if is.Stores() {
		z.Nodes++
		z.Full = m.Next != nil && m.bound.Full(&m.bound.Levels[zoneLevel], is.Node)
	}
}

// zoneLevel is the place of the zones among the levels of a bound.
const zoneLevel = 1
