package block

import (
	"time"

	"granary/core/job"
	"granary/core/rt"
)

// backlog is a durable queue as its worker and its job see it: how long it is, and a bell. A pass of the job
// begins when the queue is no longer empty.
type backlog struct {
	env    rt.Env
	job    *job.Job
	bell   rt.Waiter
	lock   rt.Locker
	length int64
}

func newBacklog(env rt.Env, j *job.Job) *backlog {
	return &backlog{env: env, job: j, bell: env.NewWaiter(), lock: env.NewLock()}
}

// found counts what an earlier life left in the queue, before anything else happens to it.
func (b *backlog) found(n int64) {
	if b.length = n; n > 0 {
		b.job.Begin(n)
	}
}

// arrived counts a block that came into the queue.
func (b *backlog) arrived() {
	b.lock.Lock()
	if b.length++; b.length == 1 {
		b.job.Begin(1)
	} else {
		b.job.Expect(1)
	}
	b.lock.Unlock()
	b.bell.Unpark()
}

// left counts a block that went out of it.
func (b *backlog) left() {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.length--
	b.job.Add(1)
}

func (b *backlog) len() int64 {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.length
}

// backOff is a time that doubles from one failure to the next.
type backOff struct{ least, most, next time.Duration }

func (b *backOff) reset() { b.next = 0 }

func (b *backOff) take() time.Duration {
	d := max(b.next, b.least)
	b.next = min(2*d, b.most)
	return d
}
