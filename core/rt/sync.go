package rt

import "context"

// Semaphore is a counting semaphore, granted first in first out. It may be held across waits.
type Semaphore struct {
	env  Env
	lock Locker
	free int64
	cap  int64
	wait waitList
}

// NewSemaphore returns a semaphore with n units free.
func NewSemaphore(env Env, n int64) *Semaphore {
	return &Semaphore{env: env, lock: env.NewLock(), free: n, cap: n}
}

// Acquire takes n units, waiting for them. A request for more than the whole capacity waits for all of it and
// takes just that. It returns ctx's error, with nothing taken, when ctx ends first.
func (s *Semaphore) Acquire(ctx context.Context, n int64) error {
	n = min(n, s.cap)
	s.lock.Lock()
	if s.wait.empty() && s.free >= n {
		s.free -= n
		s.lock.Unlock()
		return nil
	}
	node := s.wait.push(s.env, n)
	s.lock.Unlock()
	return s.wait.await(ctx, s.lock, node, func() { s.release(n) })
}

// TryAcquire takes n units if they are free and nobody waits.
func (s *Semaphore) TryAcquire(n int64) bool {
	n = min(n, s.cap)
	s.lock.Lock()
	defer s.lock.Unlock()
	if !s.wait.empty() || s.free < n {
		return false
	}
	s.free -= n
	return true
}

// Release returns n units.
func (s *Semaphore) Release(n int64) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.release(min(n, s.cap))
}

func (s *Semaphore) release(n int64) {
	s.free += n
	if s.free > s.cap {
		Break("semaphore released above its capacity: %d of %d", s.free, s.cap)
	}
	for node := s.wait.head; node != nil && s.free >= node.weight; node = s.wait.head {
		s.free -= node.weight
		s.wait.grant(node)
	}
}

// InUse is the number of units taken.
func (s *Semaphore) InUse() int64 {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.cap - s.free
}

// Mutex is a lock that may be held across waits, granted first in first out.
type Mutex struct{ sem *Semaphore }

// NewMutex returns an unlocked Mutex.
func NewMutex(env Env) *Mutex { return &Mutex{sem: NewSemaphore(env, 1)} }

// Lock takes the mutex, or returns ctx's error.
func (m *Mutex) Lock(ctx context.Context) error { return m.sem.Acquire(ctx, 1) }

// Unlock releases the mutex.
func (m *Mutex) Unlock() { m.sem.Release(1) }

// Future is a value that arrives once. Any number of tasks may wait for it.
type Future[T any] struct {
	env  Env
	lock Locker
	set  bool
	val  T
	err  error
	wait waitList
}

// NewFuture returns an unset Future.
func NewFuture[T any](env Env) *Future[T] {
	return &Future[T]{env: env, lock: env.NewLock()}
}

// Set gives the result and reports whether it was the first to do so; a later result is dropped.
func (f *Future[T]) Set(val T, err error) bool {
	f.lock.Lock()
	defer f.lock.Unlock()
	if f.set {
		return false
	}
	f.set, f.val, f.err = true, val, err
	f.wait.wakeAll()
	return true
}

// Get waits for the result. It returns ctx's error when ctx ends first.
func (f *Future[T]) Get(ctx context.Context) (T, error) {
	f.lock.Lock()
	if f.set {
		f.lock.Unlock()
		return f.val, f.err
	}
	node := f.wait.push(f.env, 0)
	f.lock.Unlock()
	if err := f.wait.await(ctx, f.lock, node, func() {}); err != nil {
		var zero T
		return zero, err
	}
	return f.val, f.err
}

// Done reports whether the result is there.
func (f *Future[T]) Done() bool {
	f.lock.Lock()
	defer f.lock.Unlock()
	return f.set
}
