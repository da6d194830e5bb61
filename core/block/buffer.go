package block

import (
	"context"
	"sync/atomic"

	"granary/core/rt"
)

// Limits of blocks and of the memory they take.
const (
	// SizeMax is the largest block, in bytes before compression.
	SizeMax = 1 << 20
	// buffersMax is how many blocks a node holds in memory at once, for all requests it coordinates, and
	// inboundMax how many for requests of other nodes.
	buffersMax = 64
	inboundMax = 48
	// buffersKept is how many free buffers are kept for reuse.
	buffersKept = 8
)

// trailer is the length of what follows a block's bytes where it is stored: one byte that tells its form.
const trailer = 1

// Buffer is the memory of one block, shared by counting. Its maker holds it once.
type Buffer struct {
	// Data is the block's content; append to it within its capacity of SizeMax bytes.
	Data  []byte
	mem   []byte
	pool  *pool
	count atomic.Int32
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

// pool hands out a bounded number of buffers and keeps a few free ones.
type pool struct {
	lock  rt.Locker
	limit *rt.Semaphore
	free  [][]byte
}

func newPool(env rt.Env, limit int64) *pool {
	return &pool{lock: env.NewLock(), limit: rt.NewSemaphore(env, limit)}
}

// take waits for a buffer.
func (p *pool) take(ctx context.Context) (*Buffer, error) {
	if err := p.limit.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return p.make(), nil
}

func (p *pool) make() *Buffer {
	b := &Buffer{pool: p}
	b.count.Store(1)
	p.lock.Lock()
	if n := len(p.free); n > 0 {
		b.mem, p.free = p.free[n-1], p.free[:n-1]
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
	if len(p.free) < buffersKept {
		p.free = append(p.free, b.mem)
	}
	b.Data, b.mem = nil, nil
	p.lock.Unlock()
	p.limit.Release(1)
}
