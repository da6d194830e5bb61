package block

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"

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
	// codersKept is how many encoders and decoders are kept for reuse.
	codersKept = 2
)

// ErrCorrupt means that bytes are not those of the block.
var ErrCorrupt = errors.New("block corrupt")

// HashOf returns the hash of a block's content.
func HashOf(data []byte) Hash { return blake3.Sum256(data) }

// former turns blocks into their stored form and back.
type former struct {
	lock     rt.Locker
	compress bool
	encoders []*zstd.Encoder
	decoders []*zstd.Decoder
}

func newFormer(env rt.Env, compress bool) *former {
	return &former{lock: env.NewLock(), compress: compress}
}

// form returns the stored form of data: compressed in memory of its own, or data with the trailer written
// behind it, within its capacity.
func (f *former) form(data []byte) []byte {
	if packed := f.pack(data); packed != nil {
		return append(packed, formZstd)
	}
	return append(data, formPlain)
}

// pack compresses data if that is on and gains enough; else it returns nil.
func (f *former) pack(data []byte) []byte {
	if !f.compress || len(data) < compressMin {
		return nil
	}
	enc := f.encoder()
	defer f.keepEncoder(enc)
	if n := min(len(data), sampleSize); n < len(data) &&
		gain(n, len(enc.EncodeAll(data[:n], nil))) < gainMin {
		return nil
	}
	if out := enc.EncodeAll(data, nil); gain(len(data), len(out)) >= gainMin {
		return out
	}
	return nil
}

// gain is how much smaller b is than a, in per cent of a.
func gain(a, b int) int { return (a - b) * 100 / a }

// content returns the bytes of a stored block, verified; it may use dst, and is a part of stored if that is
// plain.
func (f *former) content(dst, stored []byte, h Hash) ([]byte, error) {
	if len(stored) == 0 {
		return nil, fmt.Errorf("block %v: empty file: %w", h, ErrCorrupt)
	}
	body := stored[:len(stored)-trailer]
	switch form := stored[len(body)]; form {
	case formPlain:
	case formZstd:
		dec := f.decoder()
		out, err := dec.DecodeAll(body, dst[:0])
		f.keepDecoder(dec)
		if err != nil {
			return nil, fmt.Errorf("block %v: %w: %w", h, ErrCorrupt, err)
		}
		body = out
	default:
		return nil, fmt.Errorf("block %v: form %d: %w", h, form, ErrCorrupt)
	}
	if got := HashOf(body); got != h {
		return nil, fmt.Errorf("block %v: %d bytes hash to %v: %w", h, len(body), got, ErrCorrupt)
	}
	return body, nil
}

func (f *former) encoder() *zstd.Encoder {
	f.lock.Lock()
	defer f.lock.Unlock()
	if n := len(f.encoders); n > 0 {
		enc := f.encoders[n-1]
		f.encoders = f.encoders[:n-1]
		return enc
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(SizeMax))
	if err != nil {
		rt.Break("zstd encoder: %v", err)
	}
	return enc
}

func (f *former) keepEncoder(enc *zstd.Encoder) {
	f.lock.Lock()
	defer f.lock.Unlock()
	if len(f.encoders) < codersKept {
		f.encoders = append(f.encoders, enc)
	}
}

func (f *former) decoder() *zstd.Decoder {
	f.lock.Lock()
	defer f.lock.Unlock()
	if n := len(f.decoders); n > 0 {
		dec := f.decoders[n-1]
		f.decoders = f.decoders[:n-1]
		return dec
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(SizeMax),
		zstd.WithDecoderLowmem(true))
	if err != nil {
		rt.Break("zstd decoder: %v", err)
	}
	return dec
}

func (f *former) keepDecoder(dec *zstd.Decoder) {
	f.lock.Lock()
	defer f.lock.Unlock()
	if len(f.decoders) < codersKept {
		f.decoders = append(f.decoders, dec)
	}
}
