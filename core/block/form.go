package block

import (
	"context"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"

	"granary/core/rpc"
	"granary/core/rt"
)

// Forms in which a block is stored and sent: its bytes, plain or compressed, and one byte that says which.
const (
	formPlain = 0
	formZstd  = 1
)

const (
	// sampleSize is how much of a block is compressed to see whether the rest is worth it, and gainMin the
	// part, in per cent, that must be gained.
	sampleSize = 32 << 10
	gainMin    = 10
	// compressMin is the smallest block worth compressing.
	compressMin = 512
	// codersMax is how many encoders, and how many decoders, work at once; codersKept of each are kept for
	// reuse. One takes a few MiB.
	codersMax  = 4
	codersKept = 1
)

// ErrCorrupt means that bytes are not those of the block.
var ErrCorrupt = rpc.RegisterError("block.corrupt", errors.New("block corrupt"))

// HashOf returns the hash of a block's content.
func HashOf(data []byte) Hash { return blake3.Sum256(data) }

// former turns blocks into their stored form and back.
type former struct {
	env      rt.Env
	compress bool
	encoders *shelf[*encoder]
	decoders *shelf[*decoder]
}

func newFormer(env rt.Env, compress bool) *former {
	return &former{env: env, compress: compress, encoders: newShelf(env, newEncoder),
		decoders: newShelf(env, newDecoder)}
}

// form turns buf's content into its stored form, in buf's own memory.
func (f *former) form(ctx context.Context, buf *Buffer) ([]byte, error) {
	if len(buf.Data) > SizeMax {
		rt.Break("block of %d bytes, at most %d", len(buf.Data), SizeMax)
	}
	packed, err := f.pack(ctx, buf)
	if err != nil {
		return nil, err
	}
	if packed {
		return append(buf.Data, formZstd), nil
	}
	return append(buf.Data, formPlain), nil
}

// pack compresses buf's content if that is on and gains enough, and reports whether it did.
func (f *former) pack(ctx context.Context, buf *Buffer) (bool, error) {
	data := buf.Data
	if !f.compress || len(data) < compressMin {
		return false, nil
	}
	e, err := f.encoders.take(ctx)
	if err != nil {
		return false, err
	}
	defer f.encoders.give(e)
	if n := min(len(data), sampleSize); n < len(data) && gain(n, len(e.encode(data[:n]))) < gainMin {
		return false, nil
	}
	out := e.encode(data)
	f.env.Charge(rt.Zstd, len(data))
	if gain(len(data), len(out)) < gainMin {
		return false, nil
	}
	buf.Data = append(buf.mem[:0], out...)
	return true, nil
}

// gain is how much smaller b is than a, in per cent of a.
func gain(a, b int) int { return (a - b) * 100 / a }

// verify checks that stored is the stored form of the block h.
//
// Errors: ErrCorrupt, that of ctx.
func (f *former) verify(ctx context.Context, stored []byte, h Hash) error {
	_, err := f.open(ctx, stored, h, nil)
	return err
}

// content returns the verified bytes of a stored block, in dst, which may be the memory of stored.
//
// Errors: as verify.
func (f *former) content(ctx context.Context, stored []byte, h Hash, dst []byte) ([]byte, error) {
	return f.open(ctx, stored, h, dst[:0])
}

func (f *former) open(ctx context.Context, stored []byte, h Hash, dst []byte) ([]byte, error) {
	if len(stored) == 0 || len(stored) > SizeMax+trailer {
		return nil, fmt.Errorf("block %v: %d bytes stored: %w", h, len(stored), ErrCorrupt)
	}
	body := stored[:len(stored)-trailer]
	switch form := stored[len(body)]; form {
	case formPlain:
		return body, f.check(body, h)
	case formZstd:
	default:
		return nil, fmt.Errorf("block %v: form %d: %w", h, form, ErrCorrupt)
	}
	d, err := f.decoders.take(ctx)
	if err != nil {
		return nil, err
	}
	defer f.decoders.give(d)
	out, err := d.decode(body)
	if err != nil {
		return nil, fmt.Errorf("block %v: %w: %w", h, ErrCorrupt, err)
	}
	if err := f.check(out, h); err != nil || dst == nil {
		return nil, err
	}
	return append(dst, out...), nil
}

func (f *former) check(content []byte, h Hash) error {
	f.env.Charge(rt.BLAKE3, len(content))
	if got := HashOf(content); got != h && !f.env.Mutant("block not verified") {
		return fmt.Errorf("block %v: %d bytes hash to %v: %w", h, len(content), got, ErrCorrupt)
	}
	return nil
}

// encoder compresses into memory of its own, valid until the next use.
type encoder struct {
	zstd *zstd.Encoder
	out  []byte
}

func newEncoder() *encoder {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(SizeMax))
	if err != nil {
		rt.Break("zstd encoder: %v", err)
	}
	return &encoder{zstd: z}
}

func (e *encoder) encode(data []byte) []byte {
	e.out = e.zstd.EncodeAll(data, e.out[:0])
	return e.out
}

// decoder decompresses into memory of its own, never more than SizeMax bytes, valid until the next use.
type decoder struct {
	zstd *zstd.Decoder
	out  []byte
}

func newDecoder() *decoder {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(SizeMax),
		zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		rt.Break("zstd decoder: %v", err)
	}
	return &decoder{zstd: z, out: make([]byte, 0, SizeMax)}
}

func (d *decoder) decode(packed []byte) ([]byte, error) { return d.zstd.DecodeAll(packed, d.out) }

// shelf lends out up to codersMax coders and keeps codersKept that are not in use.
type shelf[T any] struct {
	lock  rt.Locker
	limit *rt.Semaphore
	free  []T
	build func() T
}

func newShelf[T any](env rt.Env, build func() T) *shelf[T] {
	return &shelf[T]{lock: env.NewLock(), limit: rt.NewSemaphore(env, codersMax), build: build}
}

func (s *shelf[T]) take(ctx context.Context) (coder T, err error) {
	if err := s.limit.Acquire(ctx, 1); err != nil {
		return coder, err
	}
	s.lock.Lock()
	n := len(s.free)
	if n > 0 {
		coder, s.free = s.free[n-1], s.free[:n-1]
	}
	s.lock.Unlock()
	if n == 0 {
		coder = s.build()
	}
	return coder, nil
}

func (s *shelf[T]) give(coder T) {
	s.lock.Lock()
	if len(s.free) < codersKept {
		s.free = append(s.free, coder)
	}
	s.lock.Unlock()
	s.limit.Release(1)
}
