package layout

// network is a flow network whose arcs cost 0 or 1 for each unit: the few operations that tables need.
//
// Arcs come in pairs: arc 2i as it was added, arc 2i+1 its reverse, on which flow is taken back. Capacities
// are what is left of them. Method: primal and dual, as in network optimisation texts. Each phase finds the
// least costs from the source by Dial's buckets, and then augments along arcs of reduced cost zero by
// Dinic's blocking flows. The order of arcs decides between solutions of equal cost.
type network struct {
	head []int32 // by arc: the vertex it leads to
	left []int32 // by arc: residual capacity
	cost []int8  // by arc: 0 or 1, its negative on the reverse
	tail []int32 // by pair: where the arc starts, until arcs are listed

	first []int32 // by vertex: its arcs are out[first[v]:first[v+1]]
	out   []int32

	potential []int32 // by vertex: the least cost from the source, up to that of the sink
	distance  []int32 // by vertex: in the phase that runs
	depth     []int32 // by vertex: steps from the source in the blocking flow that runs
	next      []int32 // by vertex: the arc in out to try next
	buckets   [][]int32
	queue     []int32
}

// arc adds an arc and returns its number. All arcs are added before the first search.
const none = -1

func (n *network) arc(from, to, capacity int, cost int8) int32 {
	number := int32(len(n.head))
	n.head = append(n.head, int32(to), int32(from))
	n.left = append(n.left, int32(capacity), 0)
	n.cost = append(n.cost, cost, -cost)
	n.tail = append(n.tail, int32(from))
	return number
}

// flow is what passes an arc that was added.
func (n *network) flow(arc int32) int { return int(n.left[arc+1]) }

// list sorts the arcs by the vertices that they leave, in the order in which they were added.
func (n *network) list(vertices int) {
	n.first = make([]int32, vertices+2)
	start := n.first[1:] // counts become starts, and starts become ends, which are the next vertex's starts
	for pair, from := range n.tail {
		start[from+1]++
		start[n.head[2*pair]+1]++
	}
	for v := range vertices {
		start[v+1] += start[v]
	}
	n.out = make([]int32, len(n.head))
	for pair, from := range n.tail {
		n.place(start, from, int32(2*pair))
		n.place(start, n.head[2*pair], int32(2*pair+1))
	}
	n.first, n.tail = n.first[:vertices+1], nil
	n.potential = make([]int32, vertices)
	n.distance = make([]int32, vertices)
	n.depth = make([]int32, vertices)
	n.next = make([]int32, vertices)
}

func (n *network) place(start []int32, v, arc int32) {
	n.out[start[v]] = arc
	start[v]++
}

// solve sends as much as it can from source to sink, at the least cost, and returns the amount.
// Cost: a few passes over the arcs for each phase; there are seldom more than three.
func (n *network) solve(source, sink int32) int {
	total := 0
	for n.measure(source, sink) {
		total += n.augment(source, sink)
	}
	return total
}

// measure adds to the potentials the distances from source by reduced costs, up to the distance of the sink,
// and reports whether the sink can be reached.
func (n *network) measure(source, sink int32) bool {
	const far = 1 << 30
	for v := range n.distance {
		n.distance[v] = far
	}
	n.distance[source] = 0
	n.bucket(0, source)
	for d := int32(0); int(d) < len(n.buckets); d++ {
		for i := 0; i < len(n.buckets[d]); i++ { // grows: arcs may cost nothing
			v := n.buckets[d][i]
			if n.distance[v] == d && d < n.distance[sink] {
				n.relax(v, d)
			}
		}
		n.buckets[d] = n.buckets[d][:0]
	}
	limit := n.distance[sink]
	if limit == far {
		return false
	}
	for v, d := range n.distance {
		n.potential[v] += min(d, limit)
	}
	return true
}

func (n *network) relax(v, distance int32) {
	for _, arc := range n.out[n.first[v]:n.first[v+1]] {
		if n.left[arc] == 0 {
			continue
		}
		w := n.head[arc]
		if d := distance + n.reduced(v, arc); d < n.distance[w] {
			n.distance[w] = d
			n.bucket(d, w)
		}
	}
}

func (n *network) bucket(distance, v int32) {
	for int(distance) >= len(n.buckets) {
		n.buckets = append(n.buckets, nil)
	}
	n.buckets[distance] = append(n.buckets[distance], v)
}

// reduced is the cost of an arc that leaves v, less what the potentials account for: never negative while
// capacity is left.
func (n *network) reduced(v, arc int32) int32 {
	return int32(n.cost[arc]) + n.potential[v] - n.potential[n.head[arc]]
}

// augment sends as much as it can along arcs of reduced cost zero, and returns the amount.
func (n *network) augment(source, sink int32) int {
	total := 0
	for n.layers(source, sink) {
		copy(n.next, n.first)
		total += int(n.push(source, sink, 1<<30))
	}
	return total
}

// layers measures the steps from source along arcs of reduced cost zero, and reports whether they lead to
// sink.
func (n *network) layers(source, sink int32) bool {
	for v := range n.depth {
		n.depth[v] = none
	}
	n.depth[source] = 0
	n.queue = append(n.queue[:0], source)
	for i := 0; i < len(n.queue) && n.depth[sink] == none; i++ {
		v := n.queue[i]
		for _, arc := range n.out[n.first[v]:n.first[v+1]] {
			w := n.head[arc]
			if n.left[arc] > 0 && n.depth[w] == none && n.reduced(v, arc) == 0 {
				n.depth[w] = n.depth[v] + 1
				n.queue = append(n.queue, w)
			}
		}
	}
	return n.depth[sink] != none
}

// push sends up to most from v to sink along the layers, and returns how much it did.
func (n *network) push(v, sink, most int32) int32 {
	if v == sink {
		return most
	}
	sent := int32(0)
	for ; n.next[v] < n.first[v+1]; n.next[v]++ {
		arc := n.out[n.next[v]]
		w := n.head[arc]
		if n.left[arc] == 0 || n.depth[w] != n.depth[v]+1 || n.reduced(v, arc) != 0 {
			continue
		}
		got := n.push(w, sink, min(most-sent, n.left[arc]))
		n.left[arc] -= got
		n.left[arc^1] += got
		if sent += got; sent == most {
			return sent
		}
	}
	return sent
}
