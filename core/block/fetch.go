package block

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
)

const (
	// getTimeout bounds the fetching of one block from one replica.
	getTimeout = 60 * time.Second
	// transferTime is added to the usual round trip before a slow transfer is hedged.
	transferTime = 150 * time.Millisecond
)

// Get fetches a block, verified, from the nearest replica; from the next one too when that fails, or when it
// is slower than usual and there is memory to spare. The caller releases the buffer.
//
// Errors: *quorum.Error when no replica delivered it; rpc.ErrOverloaded, that of ctx.
func (s *Store) Get(ctx context.Context, h Hash) (*Buffer, error) {
	view, err := s.topology.View(layout.PrefixOf(h[:]))
	if err != nil {
		return nil, err
	}
	nodes := s.topology.Nearest(view.Targets())
	bufs := make([]*Buffer, len(nodes)) // of the call to each; set before it starts
	if bufs[0], err = s.reading.take(ctx); err != nil {
		return nil, err
	}
	round := quorum.Start(ctx, s.quorum, nodes, 1,
		func(ctx context.Context, from rt.NodeID) (*Buffer, error) {
			ctx, cancel := s.env.WithTimeout(ctx, getTimeout)
			defer cancel()
			return s.fill(ctx, h, from, bufs[slices.Index(nodes, from)])
		})
	defer s.abandon(round)
	e := &quorum.Error{Op: "read", Subject: fmt.Sprintf("block %v", h), Need: 1, Of: len(nodes)}
	for asked := 1; ; {
		reply, err := round.Next(ctx, s.topology.Patience(nodes[asked-1:asked])+transferTime)
		switch {
		case errors.Is(err, rt.ErrTimeout):
			if asked == len(nodes) {
				continue
			}
			if bufs[asked] = s.reading.tryTake(); bufs[asked] == nil {
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
			if bufs[asked], err = s.reading.take(ctx); err != nil {
				return nil, err
			}
		}
		asked++
		round.More()
	}
}

// abandon cancels a round of Gets and returns the memory of those that were delivered too late.
func (s *Store) abandon(round *quorum.Round[*Buffer]) {
	round.Close()
	round.Drain(func(late *Buffer) { late.Release() })
}

// fill reads a block from one node into buf, verified, and returns it; buf is released if that fails.
func (s *Store) fill(ctx context.Context, h Hash, from rt.NodeID, buf *Buffer) (*Buffer, error) {
	filled := false
	defer func() {
		if !filled {
			buf.Release()
		}
	}()
	var stored []byte
	var err error
	if from == s.env.Self() {
		stored, err = s.disk.Read(ctx, h, buf.Data[:0])
	} else {
		stored, err = s.receive(ctx, h, from, buf)
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
		return nil, err
	}
	filled = true
	return buf, nil
}

func (s *Store) receive(ctx context.Context, h Hash, from rt.NodeID, buf *Buffer) ([]byte, error) {
	_, body, err := methodGet.CallBody(ctx, s.endpoint, from, &getRequest{Hash: h}, rpc.Body{})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return readAll(buf.Data[:0], body)
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
