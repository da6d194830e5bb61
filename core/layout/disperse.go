package layout

import "slices"

// Budgets of the search for dispersion, in swaps tried.
const (
	trialsPerSlot = 40
	trialsMax     = 2_000_000
)

// disperse swaps replicas between partitions so that any two nodes share about as many partitions as their
// loads let expect: then, when a node is lost, all others take part in copying what it held. Loads and the
// number of new replicas stay as they are. DESIGN.md has what it optimises.
// Determinism: seeded by nothing but the arguments' sizes. Cost: trialsPerSlot for each new replica, at most
// trialsMax, each O(ρ).
func (c *cluster) disperse(rows, previous [][]int) {
	d := newDispersion(c, rows, previous)
	if len(d.fresh) == 0 {
		return
	}
	for range min(trialsMax, trialsPerSlot*len(d.fresh)) {
		d.try()
	}
}

// dispersion is a table whose replicas are being swapped.
type dispersion struct {
	*cluster
	rows     [][]int
	previous [][]int
	holds    [][]int          // by node: its partitions
	shared   map[uint32]int64 // by pair of nodes, see pairOf: the partitions that both hold
	fresh    []slot           // the new replicas
	random   splitmix
	steps    int // replicas that levelling looked at
}

// slot is a replica: the place of node in the row of partition.
type slot struct{ partition, node int }

func newDispersion(c *cluster, rows, previous [][]int) *dispersion {
	d := &dispersion{cluster: c, rows: rows, previous: previous, holds: make([][]int, len(c.capacity)),
		shared: make(map[uint32]int64)}
	for p, row := range rows {
		for i, v := range row {
			d.holds[v] = append(d.holds[v], p)
			if !d.had(p, v) {
				d.fresh = append(d.fresh, slot{p, v})
			}
			for _, w := range row[:i] {
				d.shared[pairOf(v, w)]++
			}
		}
	}
	return d
}

func pairOf(v, w int) uint32 { return uint32(min(v, w))<<16 | uint32(max(v, w)) }

func (d *dispersion) had(p, v int) bool { return slices.Contains(d.previous[p], v) }

// try draws a swap of a new replica with another one, and makes it if it disperses and no more replicas
// are new afterwards.
func (d *dispersion) try() {
	i := d.random.below(len(d.fresh))
	a := d.fresh[i]
	b, j := d.partner(a)
	if j == i || !d.allowed(a, b) || d.news(slot{a.partition, b.node}, slot{b.partition, a.node}) >
		d.news(a, b) || d.gain(a, b) <= 0 {
		return
	}
	d.swap(a, b)
	d.fresh[i] = slot{b.partition, a.node}
	if j != none {
		d.fresh[j] = slot{a.partition, b.node}
	}
}

// partner draws what a may be swapped with: another new replica, whose index in fresh it returns, or one
// that a former owner of a's partition keeps elsewhere and could give up instead (index none).
func (d *dispersion) partner(a slot) (slot, int) {
	if before := d.previous[a.partition]; len(before) > 0 && d.random.below(2) == 0 {
		v := before[d.random.below(len(before))]
		if held := d.holds[v]; len(held) > 0 {
			b := slot{held[d.random.below(len(held))], v}
			if d.had(b.partition, v) {
				return b, none
			}
		}
	}
	j := d.random.below(len(d.fresh))
	return d.fresh[j], j
}

// allowed reports whether both rows stay distinct and spread when a and b are swapped.
func (d *dispersion) allowed(a, b slot) bool {
	if a.node == b.node || slices.Contains(d.rows[a.partition], b.node) ||
		slices.Contains(d.rows[b.partition], a.node) {
		return false
	}
	return d.zone[a.node] == d.zone[b.node] ||
		d.spread(d.rows[a.partition], a.node, b.node) && d.spread(d.rows[b.partition], b.node, a.node)
}

// news counts the replicas of two that are new.
func (d *dispersion) news(a, b slot) int {
	n := 0
	for _, s := range []slot{a, b} {
		if !d.had(s.partition, s.node) {
			n++
		}
	}
	return n
}

// gain is by how much a swap of a and b lowers the sum, over pairs of nodes, of shared² ÷ (product of
// loads), in units of 2⁻⁴⁰. Nodes that both rows have share as much before as after.
func (d *dispersion) gain(a, b slot) int64 {
	gain := int64(0)
	rowA, rowB := d.rows[a.partition], d.rows[b.partition]
	for _, w := range rowA {
		if w != a.node && !slices.Contains(rowB, w) {
			gain += d.less(a.node, w) - d.more(b.node, w)
		}
	}
	for _, w := range rowB {
		if w != b.node && !slices.Contains(rowA, w) {
			gain += d.less(b.node, w) - d.more(a.node, w)
		}
	}
	return gain
}

// less is what the sum loses when v and w share one partition less, more what it gains when they share one
// more.
func (d *dispersion) less(v, w int) int64 { return (2*d.shared[pairOf(v, w)] - 1) * d.weight(v, w) }
func (d *dispersion) more(v, w int) int64 { return (2*d.shared[pairOf(v, w)] + 1) * d.weight(v, w) }

func (d *dispersion) weight(v, w int) int64 {
	return 1 << 40 / (int64(max(1, len(d.holds[v]))) * int64(max(1, len(d.holds[w]))))
}

func (d *dispersion) swap(a, b slot) {
	d.replace(a, b.node)
	d.replace(b, a.node)
}

// replace puts node in the place of a slot's.
func (d *dispersion) replace(s slot, node int) {
	row := d.rows[s.partition]
	at := slices.Index(row, s.node)
	for i, w := range row {
		if i != at {
			d.shared[pairOf(s.node, w)]--
			d.shared[pairOf(node, w)]++
		}
	}
	row[at] = node
	held := d.holds[s.node]
	i := slices.Index(held, s.partition)
	held[i] = held[len(held)-1]
	d.holds[s.node] = held[:len(held)-1]
	d.holds[node] = append(d.holds[node], s.partition)
}

// spread reports whether a row is in enough zones and regions once out is replaced by in.
func (c *cluster) spread(row []int, out, in int) bool {
	for _, l := range c.levels {
		places := 1 // that of in
		for i, v := range row {
			if v != out && l.of[v] != l.of[in] && !slices.ContainsFunc(row[:i], func(w int) bool {
				return w != out && l.of[w] == l.of[v]
			}) {
				places++
			}
		}
		if places < l.least {
			return false
		}
	}
	return true
}
