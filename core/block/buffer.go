package block

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"granary/core/rpc"
	"granary/core/rt"
)

// Limits of blocks and of the memory they take. The pools are apart so that nobody who holds a buffer of one
// waits for another of the same; see DESIGN.md.
const (
	// SizeMax is the largest block, in bytes before compression.
	SizeMax = 1 << 20
	// writingMax and readingMax are how many blocks a node holds in memory for the requests it coordinates,
	// inboundMax and servingMax for those that other nodes send and fetch.
	writingMax = 32
	readingMax = 64
	inboundMax = 24
	servingMax = 12
	// checkingMax is how many stored blocks a node verifies at once.
	checkingMax = 4
	// buffersKept is how many free buffers a pool keeps when none is in use; else as many as are in use.
	buffersKept = 2
	// bufferWait is how long a request waits for a buffer before it is turned away.
	bufferWait = 20 * time.Second
	// lagMin is how long a block's last replicas may take after its acknowledgement when somebody waits for
	// its memory.
	lagMin = 2 * time.Second
)

// trailer is the length of what follows a block's bytes where it is stored: one byte that tells its form.
const trailer = 1

// Buffer is the memory of one block, shared by counting. Its maker holds it once.
type Buffer struct {
	// Data is the block's content; append to it up to SizeMax bytes.
	Data  []byte
	mem   []byte
	pool  *pool
	count atomic.Int32
	stop  func() // ends the calls that lag, of a buffer in pool.lagging
	since time.Duration
}

// Retain counts one more holder.
func (b *Buffer) Retain() { b.count.Add(1) }

// Release counts one holder less; with the last the memory goes back.
func (b *Buffer) Release() {
	switch n := b.count.Add(-1); {
	case n == 0:
		b.pool.give(b)
	case n < 0:
		rt.Break("block buffer released %d times too often", -n)
	}
}

// lag notes that what goes on with b's content is not waited for any more; stop ends it.
func (b *Buffer) lag(stop func()) {
	p := b.pool
	p.lock.Lock()
	defer p.lock.Unlock()
	if b.count.Load() > 0 {
		b.stop, b.since = stop, p.env.Now()
		p.lagging = append(p.lagging, b)
	}
}

// pool hands out a bounded number of buffers and keeps a few free ones.
type pool struct {
	env     rt.Env
	name    string
	lock    rt.Locker
	limit   *rt.Semaphore
	used    int
	free    [][]byte
	lagging []*Buffer // oldest first
}

func newPool(env rt.Env, name string, limit int64) *pool {
	if env.Mutant("memory without limit") {
		limit = 1 << 20
	}
	return &pool{env: env, name: name, lock: env.NewLock(), limit: rt.NewSemaphore(env, limit)}
}

// tryTake returns a buffer if one is free and nobody waits, else nil.
func (p *pool) tryTake() *Buffer {
	if !p.limit.TryAcquire(1) {
		return nil
	}
	return p.make()
}

// take waits for a buffer, at most for bufferWait. Meanwhile calls that lag are ended.
//
// Errors: rpc.ErrOverloaded, and that of ctx.
func (p *pool) take(ctx context.Context) (*Buffer, error) {
	if b := p.tryTake(); b != nil {
		return b, nil
	}
	p.env.Sometimes("waited for a block buffer", true)
	p.env.Count("block_buffer_waits_total", 1, "pool", p.name)
	for end := p.env.Now() + bufferWait; p.env.Now() < end; p.hurry() {
		wait, cancel := p.env.WithTimeout(ctx, lagMin)
		err := p.limit.Acquire(wait, 1)
		cancel()
		switch {
		case err == nil:
			return p.make(), nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !errors.Is(err, context.DeadlineExceeded):
			return nil, err
		}
	}
	return nil, fmt.Errorf("no memory for another block (%s) within %v: %w", p.name, bufferWait,
		rpc.ErrOverloaded)
}

// hurry ends the calls that have lagged for long.
func (p *pool) hurry() {
	p.lock.Lock()
	n, now := 0, p.env.Now()
	for n < len(p.lagging) && now-p.lagging[n].since >= lagMin {
		n++
	}
	late := slices.Clone(p.lagging[:n])
	p.lagging = slices.Delete(p.lagging, 0, n)
	p.lock.Unlock()
	for _, b := range late {
		p.env.Sometimes("lagging block write ended", true)
		p.env.Count("block_laggards_total", 1)
		b.stop()
	}
}

func (p *pool) make() *Buffer {
	b := &Buffer{pool: p}
	b.count.Store(1)
	p.lock.Lock()
	p.used++
	if n := len(p.free); n > 0 {
		b.mem, p.free[n-1] = p.free[n-1], nil
		p.free = p.free[:n-1]
	}
	p.lock.Unlock()
	if b.mem == nil {
		b.mem = make([]byte, 0, SizeMax+trailer)
	}
	b.Data = b.mem
	return b
}

func (p *pool) give(b *Buffer) {
	p.lock.Lock()
	p.used--
	p.free = append(p.free, b.mem)
	for keep := max(buffersKept, p.used); len(p.free) > keep; {
		p.free[len(p.free)-1] = nil
		p.free = p.free[:len(p.free)-1]
	}
	b.Data, b.mem = nil, nil
	if i := slices.Index(p.lagging, b); i >= 0 {
		p.lagging = slices.Delete(p.lagging, i, i+1)
	}
	p.lock.Unlock()
	p.limit.Release(1)
}
