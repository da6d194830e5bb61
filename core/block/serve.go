package block

import (
	"context"
	"errors"
	"io"

	"granary/core/rpc"
	"granary/core/rt"
)

// handlePut keeps a block that another node sends, once it is verified.
func (s *Store) handlePut(ctx context.Context, _ rt.NodeID, req *putRequest, body io.Reader) (*putResponse,
	rpc.Body, error) {
	buf, err := s.inbound.take(ctx)
	if err != nil {
		return nil, rpc.Body{}, err
	}
	defer buf.Release()
	stored, err := readAll(buf.Data[:0], body)
	if err != nil {
		return nil, rpc.Body{}, err
	}
	if err := s.former.verify(ctx, stored, req.Hash); err != nil {
		return nil, rpc.Body{}, err
	}
	return nil, rpc.Body{}, s.keep(ctx, req.Hash, stored, req.Ref, req.Plan)
}

func (s *Store) handleRefer(ctx context.Context, _ rt.NodeID, req *putRequest) (*putResponse, error) {
	return nil, s.refer(ctx, req.Hash, req.Ref, req.Plan)
}

// handleGet sends the stored form; the receiver verifies it. For one that no client waits for this node does
// so first: a copy that cannot be told from a good one, but by whoever fetches it in vain, would be counted
// for ever.
func (s *Store) handleGet(ctx context.Context, _ rt.NodeID, req *getRequest, _ io.Reader) (*getResponse,
	rpc.Body, error) {
	from := s.serving
	if req.Heal {
		from = s.helping
	}
	buf, err := from.take(ctx)
	if err != nil {
		return nil, rpc.Body{}, err
	}
	stored, err := s.stored(ctx, req.Hash, buf.Data[:0])
	if err == nil && req.Heal {
		err = s.former.verify(ctx, stored, req.Hash)
	}
	if err != nil {
		buf.Release()
		if s.doubt(req.Hash, err); req.Heal && errors.Is(err, ErrNotFound) {
			s.suspect(req.Hash) // whoever asks was told that it is here
		}
		return nil, rpc.Body{}, err
	}
	return nil, rpc.Stream(&sending{buf: buf, rest: stored}), nil
}

// sending is a block on its way out; closing it returns its memory.
type sending struct {
	buf  *Buffer
	rest []byte
}

// Read implements io.Reader.
func (s *sending) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// Close implements io.Closer.
func (s *sending) Close() error {
	if s.buf != nil {
		s.buf.Release()
		s.buf, s.rest = nil, nil
	}
	return nil
}
