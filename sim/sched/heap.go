package sched

// timerHeap is a binary heap ordered by (at, seq). A timer knows its place, counted from 1, so that a stopped
// one leaves at once; 0 means not in the heap.
type timerHeap []*Timer

func (h timerHeap) less(i, j int) bool {
	a, b := h[i], h[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

func (h timerHeap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

func (h *timerHeap) push(t *Timer) {
	*h = append(*h, t)
	t.index = len(*h)
	h.up(len(*h) - 1)
}

func (h *timerHeap) pop() *Timer {
	t := (*h)[0]
	h.remove(t)
	return t
}

func (h *timerHeap) remove(t *Timer) {
	i, last := t.index-1, len(*h)-1
	if i != last {
		h.swap(i, last)
	}
	(*h)[last] = nil
	*h = (*h)[:last]
	t.index = 0
	if i != last {
		h.down(i)
		h.up(i)
	}
}

func (h timerHeap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(i, parent) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h timerHeap) down(i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(h); c++ {
			if h.less(c, least) {
				least = c
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}

// readyQueue holds the tasks that can run, oldest first.
type readyQueue struct {
	tasks []*task
	head  int
}

func (q *readyQueue) len() int { return len(q.tasks) - q.head }

func (q *readyQueue) push(t *task) { q.tasks = append(q.tasks, t) }

// take removes the i-th oldest task; the oldest moves into its place.
func (q *readyQueue) take(i int) *task {
	i += q.head
	t := q.tasks[i]
	q.tasks[i] = q.tasks[q.head]
	q.tasks[q.head] = nil
	q.head++
	if q.head == len(q.tasks) {
		q.tasks, q.head = q.tasks[:0], 0
	} else if q.head >= 1024 && q.head*2 >= len(q.tasks) {
		n := copy(q.tasks, q.tasks[q.head:])
		clear(q.tasks[n:])
		q.tasks, q.head = q.tasks[:n], 0
	}
	return t
}

// drop removes t, wherever it stands.
func (q *readyQueue) drop(t *task) {
	for i := q.head; i < len(q.tasks); i++ {
		if q.tasks[i] == t {
			q.tasks = append(q.tasks[:i], q.tasks[i+1:]...)
			return
		}
	}
}

// dropAll removes the tasks of e and returns them, oldest first.
func (q *readyQueue) dropAll(e *Env) (all []*task) {
	rest := q.tasks[:q.head]
	for _, t := range q.tasks[q.head:] {
		if t.env == e {
			all = append(all, t)
		} else {
			rest = append(rest, t)
		}
	}
	clear(q.tasks[len(rest):])
	q.tasks = rest
	return all
}
