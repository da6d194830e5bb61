package block

import (
	"context"
	"errors"
	"fmt"
	"time"

	"granary/core/cluster"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

const (
	// pieceBytes is how much of a block goes over one lane: with its envelope, and a key of any length, what
	// a connection that rested may send at once (10 segments of 1460 bytes, TLS records of 1400).
	pieceBytes = 13 << 10
	// farRTT is the round trip from which on a node is far, so that a block goes to it in pieces; below,
	// waiting for a few round trips is cheap.
	farRTT = 10 * time.Millisecond
	// besideMax is how many bytes of blocks may be on their way to a node for the last of them to go in
	// pieces: what a line of 200 Mbit/s holds in 100 ms. Lanes are for a line that rested; on one that is
	// full, blocks of 64 MiB arrive sooner if most go whole (experiments/latency/real).
	besideMax = 5 << 19
)

// pieceRequest is a part of a block's stored form. All parts of a transfer are under way at once, each on a
// connection of its own, so they come in any order.
type pieceRequest struct {
	Hash     Hash         `cbor:"1,keyasint"`
	Transfer uint64       `cbor:"2,keyasint"` // chosen by the sender
	Size     int          `cbor:"3,keyasint"` // of the whole
	Offset   int          `cbor:"4,keyasint"`
	Data     []byte       `cbor:"5,keyasint"`
	Ref      *table.Row   `cbor:"6,keyasint,omitempty"` // with the first piece
	Plan     cluster.Plan `cbor:"7,keyasint,omitzero"`
}

var methodPiece = rpc.NewMethod[pieceRequest, putResponse]("block.piece", rpc.Bulk)

// send brings a block's stored form to another node: in pieces side by side if it is far, the lanes for it
// are open and free, and little else is on its way there; else whole.
func (s *Store) send(ctx context.Context, to rt.NodeID, h Hash, raw []byte, ref table.Row,
	p cluster.Plan) error {
	under := s.outbound(to, len(raw))
	defer s.outbound(to, -len(raw))
	if under <= besideMax && s.wide(to, pieces(len(raw))) {
		err := s.sendPieces(ctx, to, h, raw, ref, p)
		if err == nil || ctx.Err() != nil || errors.Is(err, rpc.ErrRemote) {
			return err
		}
		s.env.Sometimes("a block's lanes failed it", true)
	}
	_, body, err := methodPut.CallBody(ctx, s.endpoint, to, &putRequest{Hash: h, Ref: ref, Plan: p},
		rpc.Bytes(raw))
	if err == nil {
		body.Close()
	}
	return err
}

// outbound changes how many bytes of blocks are on their way to a node, and returns that.
func (s *Store) outbound(to rt.NodeID, change int) int {
	s.lock.Lock()
	defer s.lock.Unlock()
	n := s.leaving[to] + change
	if s.leaving[to] = n; n == 0 {
		delete(s.leaving, to)
	}
	return n
}

// pieces is how many a stored form of that size makes.
func pieces(size int) int { return (size + pieceBytes - 1) / pieceBytes }

// wide reports whether a block had better travel in so many pieces. Lanes that are missing are opened
// meanwhile.
func (s *Store) wide(peer rt.NodeID, pieces int) bool {
	return pieces > 1 && s.far(peer) && s.endpoint.Lanes(peer, pieces) >= pieces
}

func (s *Store) far(peer rt.NodeID) bool {
	rtt, ok := s.endpoint.RTT(peer)
	return ok && rtt.Mean >= farRTT
}

func (s *Store) sendPieces(ctx context.Context, to rt.NodeID, h Hash, raw []byte, ref table.Row,
	p cluster.Plan) error {
	transfer := s.env.Rand("block/transfer").Uint64()
	var reqs []*pieceRequest
	for off := 0; off < len(raw); off += pieceBytes {
		reqs = append(reqs, &pieceRequest{Hash: h, Transfer: transfer, Size: len(raw), Offset: off, Plan: p,
			Data: raw[off:min(off+pieceBytes, len(raw))]})
	}
	reqs[0].Ref = &ref
	s.env.Count("block_pieces_total", float64(len(reqs)))
	s.env.Sometimes("block sent in pieces", true)
	// The one answer is that of the whole block.
	return methodPiece.CallWide(ctx, s.endpoint, to, reqs,
		func(int, *putResponse) (enough bool, err error) { return true, nil })
}

// transferID names a transfer at its receiver.
type transferID struct {
	from rt.NodeID
	id   uint64
}

// transfer is a block that arrives in pieces. The calls that bring them wait for the last one, which keeps
// the block and alone answers, for all; so it lives as long as one of them does, and its sender cancels all
// or none.
type transfer struct {
	hash  Hash
	size  int
	users int // calls that are here; under Store.lock, like all below
	seen  []bool
	left  int // bytes that have not come
	ref   table.Row

	buf    *rt.Future[*Buffer]
	result *rt.Future[struct{}]
}

// handlePiece takes a piece, and keeps the block with the last one.
func (s *Store) handlePiece(ctx context.Context, from rt.NodeID, req *pieceRequest) (*putResponse, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	id := transferID{from, req.Transfer}
	t, first := s.enter(id, req)
	defer s.leave(id, t)
	if first {
		t.buf.Set(s.inbound.take(ctx))
	}
	buf, err := t.buf.Get(ctx)
	if err != nil {
		return nil, err
	}
	last, err := s.place(t, buf, req)
	switch {
	case err != nil:
		return nil, err
	case !last:
		if _, err = t.result.Get(ctx); t.result.Done() {
			err = rpc.ErrUnanswered
		}
		return nil, err
	}
	stored := buf.Data[:t.size]
	if err = s.former.verify(ctx, stored, t.hash); err == nil {
		err = s.keep(ctx, t.hash, stored, t.ref, req.Plan)
	}
	t.result.Set(struct{}{}, err)
	return nil, err
}

// check refuses what no sender makes.
func (r *pieceRequest) check() error {
	if r.Size <= 0 || r.Size > SizeMax+trailer || r.Offset < 0 || r.Offset%pieceBytes != 0 ||
		r.Offset >= r.Size || len(r.Data) != min(pieceBytes, r.Size-r.Offset) ||
		(r.Ref != nil) != (r.Offset == 0) {
		return fmt.Errorf("piece at %d of %d bytes, %d long: %w", r.Offset, r.Size, len(r.Data),
			rpc.ErrMalformed)
	}
	return nil
}

// enter counts a call in, as the first of its transfer or a further one.
func (s *Store) enter(id transferID, req *pieceRequest) (t *transfer, first bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if t = s.transfers[id]; t == nil {
		first = true
		t = &transfer{hash: req.Hash, size: req.Size, left: req.Size,
			seen: make([]bool, pieces(req.Size)),
			buf:  rt.NewFuture[*Buffer](s.env), result: rt.NewFuture[struct{}](s.env)}
		s.transfers[id] = t
	}
	t.users++
	return t, first
}

// place puts a piece where it belongs and reports whether it was the last to come.
func (s *Store) place(t *transfer, buf *Buffer, req *pieceRequest) (last bool, err error) {
	s.lock.Lock()
	i := req.Offset / pieceBytes
	bad := t.hash != req.Hash || t.size != req.Size || t.seen[i]
	if !bad {
		t.seen[i] = true
	}
	s.lock.Unlock()
	if bad {
		return false, fmt.Errorf("piece at %d came twice, or with another block: %w", req.Offset,
			rpc.ErrMalformed)
	}
	copy(buf.Data[req.Offset:t.size], req.Data)
	s.lock.Lock()
	defer s.lock.Unlock()
	if t.left -= len(req.Data); req.Ref != nil {
		t.ref = *req.Ref
	}
	return t.left == 0, nil
}

// leave counts a call out; with the last one the memory goes back.
func (s *Store) leave(id transferID, t *transfer) {
	s.lock.Lock()
	t.users--
	last := t.users == 0
	if last {
		delete(s.transfers, id)
	}
	s.lock.Unlock()
	if !last || !t.buf.Done() {
		return
	}
	if buf, err := t.buf.Get(s.env.Background()); err == nil {
		buf.Release()
	}
}
