package block

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
)

const (
	// getTimeout bounds the fetching of one block from one replica.
	getTimeout = 60 * time.Second
	// transferTime is added to the usual round trip before a transfer that has come to nothing more is
	// hedged.
	transferTime = 150 * time.Millisecond
)

// fetching is the call for a block to one replica.
type fetching struct {
	buf     *Buffer // set before the call starts
	started time.Duration
	seen    int64 // bytes that had come from the replica when it was last looked at
}

// start notes that the call to a replica begins.
func (s *Store) start(c *fetching, from rt.NodeID) {
	c.started = s.env.Now()
	c.seen, _ = s.came(from)
}

// Get fetches a block, verified, from the replica that promises it soonest; from the next one too when that
// fails, or when it is silent, or slower than it usually is, and there is memory to spare. size is that of
// the content at most. The caller releases the buffer.
//
// Errors: *quorum.Error when no replica delivered it; rpc.ErrOverloaded, that of ctx.
func (s *Store) Get(ctx context.Context, h Hash, size int64) (*Buffer, error) {
	view, err := s.topology.View(layout.PrefixOf(h[:]))
	if err != nil {
		return nil, err
	}
	nodes := s.order(view.Targets())
	calls := make([]fetching, len(nodes))
	if calls[0].buf, err = s.reading.take(ctx); err != nil {
		return nil, err
	}
	s.start(&calls[0], nodes[0])
	round := quorum.Start(ctx, s.quorum, nodes, 1,
		func(ctx context.Context, from rt.NodeID) (*Buffer, error) {
			ctx, cancel := s.env.WithTimeout(ctx, getTimeout)
			defer cancel()
			return s.fill(ctx, h, from, size, calls[slices.Index(nodes, from)].buf)
		})
	defer s.abandon(round)
	e := &quorum.Error{Op: "read", Subject: fmt.Sprintf("block %v", h), Need: 1, Of: len(nodes)}
	for asked := 1; ; {
		reply, err := round.Next(ctx, s.topology.Patience(nodes[asked-1:asked])+transferTime)
		switch {
		case errors.Is(err, rt.ErrTimeout):
			if asked == len(nodes) || s.env.Mutant("silent replica is waited for") ||
				s.onItsWay(nodes[asked-1], &calls[asked-1]) {
				continue
			}
			if calls[asked].buf = s.reading.tryTake(); calls[asked].buf == nil {
				continue // no memory for a second copy
			}
			s.env.Sometimes("block read hedged", true)
			s.env.Count("block_hedges_total", 1)
		case errors.Is(err, quorum.ErrAllAnswered):
			s.quorum.Missed("read")
			return nil, e
		case err != nil:
			return nil, err
		case reply.Err == nil:
			return reply.Value, nil
		default:
			e.Causes = append(e.Causes, quorum.Cause{Node: s.topology.Describe(reply.Node), Err: reply.Err})
			if asked == len(nodes) {
				continue
			}
			if calls[asked].buf, err = s.reading.take(ctx); err != nil {
				return nil, err
			}
		}
		s.start(&calls[asked], nodes[asked])
		asked++
		round.More()
	}
}

// onItsWay reports whether anything has come from a replica since it was last asked, of this block or of
// another that was there first, and the block does not yet take longer than usual.
func (s *Store) onItsWay(from rt.NodeID, c *fetching) bool {
	arrived, usual := s.came(from)
	comes := arrived > c.seen
	c.seen = arrived
	return comes && (usual == 0 || s.env.Now()-c.started < usual)
}

// abandon cancels a round of Gets and returns the memory of those that were delivered too late.
func (s *Store) abandon(round *quorum.Round[*Buffer]) {
	round.Close()
	round.Drain(func(late *Buffer) { late.Release() })
}

// fill reads a block from one node into buf, verified, and returns it; buf is released if that fails.
func (s *Store) fill(ctx context.Context, h Hash, from rt.NodeID, size int64, buf *Buffer) (*Buffer, error) {
	filled := false
	source, departed := s.depart(from)
	defer func() {
		s.arrive(source, departed, filled)
		if !filled {
			buf.Release()
		}
	}()
	var stored []byte
	var err error
	if from == s.env.Self() {
		stored, err = s.stored(ctx, h, buf.Data[:0])
	} else {
		stored, err = s.receive(ctx, h, from, size, buf, &source.arrived)
	}
	if err == nil {
		buf.Data, err = s.former.content(ctx, stored, h, buf.mem)
	}
	if errors.Is(err, ErrCorrupt) {
		s.env.Error("a replica delivered a damaged block", "node", s.topology.Describe(from), "err", err)
		s.env.Count("block_damaged_total", 1)
		s.env.Sometimes("replica delivered a damaged block", true)
	}
	if err != nil {
		if from == s.env.Self() {
			s.doubt(h, err)
		}
		return nil, err
	}
	filled = true
	return buf, nil
}

// receive asks another node for a block's stored form: for its pieces side by side if it is far and the lanes
// for them are open and free, else for the whole.
func (s *Store) receive(ctx context.Context, h Hash, from rt.NodeID, size int64, buf *Buffer,
	arrived *atomic.Int64) ([]byte, error) {
	if most := int(min(size, SizeMax)) + trailer; s.wide(from, pieces(most)) {
		stored, err := s.receivePieces(ctx, h, from, most, buf, arrived)
		if err == nil || ctx.Err() != nil || errors.Is(err, rpc.ErrRemote) || errors.Is(err, ErrCorrupt) {
			return stored, err
		}
		s.env.Sometimes("a block's lanes failed it", true)
	}
	_, body, err := methodGet.CallBody(ctx, s.endpoint, from, &getRequest{Hash: h}, rpc.Body{})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return readAll(buf.Data[:0], progress{body, arrived})
}

// progress counts what a reader gives.
type progress struct {
	io.Reader
	n *atomic.Int64
}

// Read implements io.Reader.
func (p progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.n.Add(int64(n))
	return n, err
}

// readAll reads a stored block, which is at most as long as a plain one, into dst's capacity.
func readAll(dst []byte, r io.Reader) ([]byte, error) {
	for {
		if len(dst) == cap(dst) {
			var more [1]byte
			switch n, err := r.Read(more[:]); {
			case n > 0:
				return nil, fmt.Errorf("more than %d bytes: %w", cap(dst), ErrCorrupt)
			case err == io.EOF:
				return dst, nil
			case err != nil:
				return nil, err
			}
			continue
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
