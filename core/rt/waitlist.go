package rt

import "context"

// waitList is a first-in first-out list of waiting tasks. Its owner's lock protects it.
type waitList struct{ head, tail *waitNode }

// waitNode is one waiting task. granted is set, under the owner's lock, by whoever takes it off the list.
type waitNode struct {
	waiter     Waiter
	weight     int64
	granted    bool
	prev, next *waitNode
}

func (l *waitList) empty() bool { return l.head == nil }

func (l *waitList) push(env Env, weight int64) *waitNode {
	n := &waitNode{waiter: env.NewWaiter(), weight: weight, prev: l.tail}
	if l.tail == nil {
		l.head = n
	} else {
		l.tail.next = n
	}
	l.tail = n
	return n
}

func (l *waitList) remove(n *waitNode) {
	if n.prev == nil {
		l.head = n.next
	} else {
		n.prev.next = n.next
	}
	if n.next == nil {
		l.tail = n.prev
	} else {
		n.next.prev = n.prev
	}
	n.prev, n.next = nil, nil
}

// wakeOne grants the longest waiting task, if there is one.
func (l *waitList) wakeOne() {
	if n := l.head; n != nil {
		l.grant(n)
	}
}

func (l *waitList) wakeAll() {
	for l.head != nil {
		l.grant(l.head)
	}
}

func (l *waitList) grant(n *waitNode) {
	l.remove(n)
	n.granted = true
	n.waiter.Unpark()
}

// await parks on n. When the wait fails it takes n off the list, or, if n was granted meanwhile, calls undo
// so that the grant is not lost.
func (l *waitList) await(ctx context.Context, lock Locker, n *waitNode, undo func()) error {
	err := n.waiter.Park(ctx)
	if err == nil {
		return nil
	}
	lock.Lock()
	defer lock.Unlock()
	if n.granted {
		undo()
	} else {
		l.remove(n)
	}
	return err
}
