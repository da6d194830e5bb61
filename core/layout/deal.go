package layout

import (
	"container/heap"
	"math"
	"math/bits"

	"granary/core/rt"
)

// targets returns a load for each storing node, ρP in all, such that some table of partitions of size bytes
// has these loads: proportional to capacity where there is a choice. A node counts with at most P·size,
// since more than every partition it cannot hold.
func (c *cluster) targets(size uint64) []int {
	loads := make([]int, len(c.capacity))
	inPlace := make([][]int, len(c.levels))
	repeats := make([]int, len(c.levels)) // tokens that places may have beyond P each
	for i, l := range c.levels {
		inPlace[i], repeats[i] = make([]int, l.count), (c.replicas-l.least)*c.partitions
	}
	queue := shareQueue{loads: loads, weight: make([]uint64, len(c.capacity))}
	for v, capacity := range c.capacity {
		queue.weight[v] = min(capacity, saturatingMul(uint64(c.partitions), size))
		queue.nodes = append(queue.nodes, v)
	}
	heap.Init(&queue)
	for left := c.replicas * c.partitions; left > 0; {
		if len(queue.nodes) == 0 {
			rt.Break("layout: size %d is feasible, yet %d replicas have no place", size, left)
		}
		v := queue.nodes[0]
		full := loads[v] == c.slots(v, size)
		for i, l := range c.levels {
			full = full || inPlace[i][l.of[v]] >= c.partitions && repeats[i] == 0
		}
		if full {
			heap.Pop(&queue) // it stays so
			continue
		}
		for i, l := range c.levels {
			if inPlace[i][l.of[v]] >= c.partitions {
				repeats[i]--
			}
			inPlace[i][l.of[v]]++
		}
		loads[v]++
		left--
		heap.Fix(&queue, 0)
	}
	return loads
}

func saturatingMul(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	if hi > 0 {
		return math.MaxUint64
	}
	return lo
}

// shareQueue orders nodes by (load+1)/weight, then by number: whose turn it is to get one more partition.
type shareQueue struct {
	nodes  []int
	loads  []int
	weight []uint64
}

func (q *shareQueue) Len() int      { return len(q.nodes) }
func (q *shareQueue) Swap(i, j int) { q.nodes[i], q.nodes[j] = q.nodes[j], q.nodes[i] }
func (q *shareQueue) Push(x any)    { q.nodes = append(q.nodes, x.(int)) }
func (q *shareQueue) Pop() any {
	last := q.nodes[len(q.nodes)-1]
	q.nodes = q.nodes[:len(q.nodes)-1]
	return last
}

func (q *shareQueue) Less(i, j int) bool {
	a, b := q.nodes[i], q.nodes[j]
	ahi, alo := bits.Mul64(uint64(q.loads[a]+1), q.weight[b])
	bhi, blo := bits.Mul64(uint64(q.loads[b]+1), q.weight[a])
	if ahi != bhi {
		return ahi < bhi
	}
	if alo != blo {
		return alo < blo
	}
	return a < b
}

// deal returns a table of the given loads, by the rule of Theorem 1: tokens zone by zone, those of zones
// with at least P tokens first, token j to partition j mod P. It takes no account of regions.
func (c *cluster) deal(loads []int) [][]int {
	rows := make([][]int, c.partitions)
	next := 0
	for _, big := range []bool{true, false} {
		for z, members := range c.zones {
			var tokens []int
			for _, v := range members {
				for range loads[v] {
					tokens = append(tokens, v)
				}
			}
			if (len(tokens) >= c.partitions) != big {
				continue
			}
			if len(tokens) <= c.partitions {
				seed := splitmix(z)
				seed.shuffle(tokens)
			}
			for _, v := range tokens {
				rows[next] = append(rows[next], v)
				next = (next + 1) % c.partitions
			}
		}
	}
	return rows
}
