package rt

import (
	"context"
	"errors"
	"time"
)

// ErrQueueClosed is returned by a closed queue, by Get only once it is empty.
var ErrQueueClosed = errors.New("rt: queue closed")

// Queue is a bounded first-in first-out queue between tasks.
type Queue[T any] struct {
	env     Env
	lock    Locker
	items   []T // items[head:] are queued
	head    int
	bound   int
	closed  bool
	getters waitList
	putters waitList
}

// NewQueue returns a queue that holds at most bound items; Put waits beyond that.
func NewQueue[T any](env Env, bound int) *Queue[T] {
	if bound <= 0 {
		Break("queue bound %d", bound)
	}
	return &Queue[T]{env: env, lock: env.NewLock(), bound: bound}
}

// Put appends v, waiting for room. It returns ctx's error or ErrQueueClosed, with v not queued.
func (q *Queue[T]) Put(ctx context.Context, v T) error {
	for {
		q.lock.Lock()
		if q.closed {
			q.lock.Unlock()
			return ErrQueueClosed
		}
		if q.len() < q.bound {
			q.push(v)
			q.lock.Unlock()
			return nil
		}
		node := q.putters.push(q.env, 0)
		q.lock.Unlock()
		if err := q.putters.await(ctx, q.lock, node, q.passRoom); err != nil {
			return err
		}
	}
}

// TryPut appends v if there is room and the queue is open, and reports whether it did.
func (q *Queue[T]) TryPut(v T) bool {
	q.lock.Lock()
	defer q.lock.Unlock()
	if q.closed || q.len() >= q.bound {
		return false
	}
	q.push(v)
	return true
}

// Get takes the oldest item, waiting for one.
func (q *Queue[T]) Get(ctx context.Context) (T, error) {
	for {
		v, node, err := q.take()
		if err != nil || node == nil {
			return v, err
		}
		if err := q.getters.await(ctx, q.lock, node, q.passItem); err != nil {
			return v, err
		}
	}
}

// GetFor is Get that gives up with ErrTimeout after d.
func (q *Queue[T]) GetFor(ctx context.Context, d time.Duration) (T, error) {
	end := q.env.Now() + d
	for {
		v, node, err := q.take()
		if err != nil || node == nil {
			return v, err
		}
		if err := node.waiter.ParkFor(ctx, end-q.env.Now()); err != nil {
			q.lock.Lock()
			if node.granted {
				q.passItem()
			} else {
				q.getters.remove(node)
			}
			q.lock.Unlock()
			return v, err
		}
	}
}

// TryGet takes the oldest item if there is one.
func (q *Queue[T]) TryGet() (T, bool) {
	q.lock.Lock()
	defer q.lock.Unlock()
	if q.len() == 0 {
		var zero T
		return zero, false
	}
	return q.pop(), true
}

// Len is the number of queued items.
func (q *Queue[T]) Len() int {
	q.lock.Lock()
	defer q.lock.Unlock()
	return q.len()
}

// Close refuses further items; what is queued can still be taken. Closing twice is harmless.
func (q *Queue[T]) Close() {
	q.lock.Lock()
	defer q.lock.Unlock()
	q.closed = true
	q.getters.wakeAll()
	q.putters.wakeAll()
}

// take pops an item; if there is none it returns the error of a closed queue or a place in the line.
func (q *Queue[T]) take() (v T, node *waitNode, err error) {
	q.lock.Lock()
	defer q.lock.Unlock()
	switch {
	case q.len() > 0:
		return q.pop(), nil, nil
	case q.closed:
		return v, nil, ErrQueueClosed
	}
	return v, q.getters.push(q.env, 0), nil
}

func (q *Queue[T]) len() int { return len(q.items) - q.head }

func (q *Queue[T]) push(v T) {
	if q.head > len(q.items)/2 && q.head > 16 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
	q.getters.wakeOne()
}

func (q *Queue[T]) pop() T {
	var zero T
	v := q.items[q.head]
	q.items[q.head] = zero
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	q.putters.wakeOne()
	return v
}

// passItem hands a wake-up that its receiver could not use to the next getter.
func (q *Queue[T]) passItem() {
	if q.len() > 0 {
		q.getters.wakeOne()
	}
}

// passRoom hands a wake-up that its receiver could not use to the next putter.
func (q *Queue[T]) passRoom() {
	if q.len() < q.bound {
		q.putters.wakeOne()
	}
}
