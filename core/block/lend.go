package block

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"granary/core/rpc"
	"granary/core/rt"
)

// lendRequest asks for a part of a block's stored form. As with pieceRequest, all parts are asked for at
// once.
type lendRequest struct {
	Hash     Hash   `cbor:"1,keyasint"`
	Transfer uint64 `cbor:"2,keyasint"` // chosen by the asker
	Pieces   int    `cbor:"3,keyasint"` // as many as are asked for
	Offset   int    `cbor:"4,keyasint"`
}

type lendResponse struct {
	Size int    `cbor:"1,keyasint"` // of the whole
	Data []byte `cbor:"2,keyasint,omitempty"`
}

var methodLend = rpc.NewMethod[lendRequest, lendResponse]("block.lend", rpc.Bulk)

// loan is a block that leaves in pieces: read once, and held until all were asked for or loanMax has passed.
type loan struct {
	stored *rt.Future[*Buffer] // Data is the stored form
	served *rt.Future[struct{}]
	left   int  // pieces that were not asked for yet; under Store.lock, like over
	over   bool // the memory was given back
}

// loanMax bounds the time for which a block is held for the rest of its pieces.
const loanMax = 5 * time.Second

// handleLend sends a piece of a block; the receiver verifies the whole.
func (s *Store) handleLend(ctx context.Context, from rt.NodeID, req *lendRequest) (*lendResponse, error) {
	if req.Offset < 0 || req.Offset%pieceBytes != 0 || req.Offset > SizeMax || req.Pieces < 1 ||
		req.Pieces > pieces(SizeMax+trailer) {
		return nil, fmt.Errorf("piece at %d of %d: %w", req.Offset, req.Pieces, rpc.ErrMalformed)
	}
	l := s.lend(transferID{from, req.Transfer}, req)
	buf, err := l.stored.Get(ctx)
	if err != nil {
		s.borrow(l, nil)
		return nil, err
	}
	if !s.borrow(l, buf) {
		return nil, fmt.Errorf("block %v: piece at %d asked for too late: %w", req.Hash, req.Offset,
			ErrNotFound)
	}
	defer buf.Release()
	resp := &lendResponse{Size: len(buf.Data)}
	if req.Offset < len(buf.Data) {
		resp.Data = bytes.Clone(buf.Data[req.Offset:min(req.Offset+pieceBytes, len(buf.Data))])
	}
	return resp, nil
}

// lend returns the loan that a request belongs to, begun if it is the first.
func (s *Store) lend(id transferID, req *lendRequest) *loan {
	s.lock.Lock()
	l := s.loans[id]
	known := l != nil
	if !known {
		l = &loan{stored: rt.NewFuture[*Buffer](s.env), served: rt.NewFuture[struct{}](s.env),
			left: req.Pieces}
		s.loans[id] = l
	}
	s.lock.Unlock()
	if !known {
		s.group.Go("lend block", func(ctx context.Context) error {
			s.hold(ctx, id, l, req.Hash)
			return nil
		})
	}
	return l
}

// hold reads a block and keeps it for as long as the loan lasts. It forgets the loan when all pieces were
// asked for, or could not be any more: so one that is asked for too late is not the first of another loan.
func (s *Store) hold(ctx context.Context, id transferID, l *loan, h Hash) {
	buf, err := s.readLoan(ctx, h)
	l.stored.Set(buf, err)
	if err == nil {
		s.awaitServed(ctx, l, loanMax)
	}
	s.lock.Lock()
	l.over = true
	s.lock.Unlock()
	if buf != nil {
		buf.Release()
	}
	s.awaitServed(ctx, l, getTimeout)
	s.lock.Lock()
	delete(s.loans, id)
	s.lock.Unlock()
}

func (s *Store) readLoan(ctx context.Context, h Hash) (*Buffer, error) {
	ctx, cancel := s.env.WithTimeout(ctx, loanMax)
	defer cancel()
	buf, err := s.serving.take(ctx)
	if err != nil {
		return nil, err
	}
	buf.Data, err = s.stored(ctx, h, buf.Data[:0])
	s.doubt(h, err)
	return buf, err
}

// awaitServed waits until all pieces were asked for, at most so long.
func (s *Store) awaitServed(ctx context.Context, l *loan, most time.Duration) {
	ctx, cancel := s.env.WithTimeout(ctx, most)
	defer cancel()
	_, _ = l.served.Get(ctx)
}

// borrow counts a piece that was asked for, and holds the memory of the loan for it, if it is still there.
func (s *Store) borrow(l *loan, buf *Buffer) (ok bool) {
	s.lock.Lock()
	if ok = buf != nil && !l.over; ok {
		buf.Retain()
	}
	l.left--
	last := l.left <= 0
	s.lock.Unlock()
	if last {
		l.served.Set(struct{}{}, nil)
	}
	return ok
}

// receivePieces asks a node for all pieces of a block of up to most bytes stored, side by side, and puts them
// together in buf.
func (s *Store) receivePieces(ctx context.Context, h Hash, from rt.NodeID, most int, buf *Buffer,
	arrived *atomic.Int64) ([]byte, error) {
	dst := buf.Data[:0]
	n := pieces(most)
	transfer := s.env.Rand("block/transfer").Uint64()
	reqs := make([]*lendRequest, n)
	for i := range reqs {
		reqs[i] = &lendRequest{Hash: h, Transfer: transfer, Pieces: n, Offset: i * pieceBytes}
	}
	size := -1
	err := methodLend.CallWide(ctx, s.endpoint, from, reqs, func(i int, resp *lendResponse) (bool, error) {
		if size < 0 {
			size = resp.Size
		}
		off := i * pieceBytes
		if resp.Size != size || size > min(most, cap(dst)) ||
			len(resp.Data) != max(min(pieceBytes, size-off), 0) {
			return false, fmt.Errorf("block %v: piece at %d of %d bytes, %d long: %w", h, off, resp.Size,
				len(resp.Data), ErrCorrupt)
		}
		copy(dst[off:cap(dst)], resp.Data)
		arrived.Add(int64(len(resp.Data)))
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	s.env.Count("block_pieces_total", float64(n))
	s.env.Sometimes("block fetched in pieces", true)
	return dst[:size], nil
}
