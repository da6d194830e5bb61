package block

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"granary/core/cluster"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

const (
	// putTimeout bounds the sending of one block to one replica, getTimeout that of fetching one.
	putTimeout = 60 * time.Second
	getTimeout = 60 * time.Second
	// transferTime is added to the usual round trip before a slow transfer is hedged.
	transferTime = 150 * time.Millisecond
)

// Topology is what blocks need to know of the cluster.
type Topology interface {
	View(layout.Prefix) (cluster.View, error)
	Nearest([]rt.NodeID) []rt.NodeID
	Patience([]rt.NodeID) time.Duration
	SameZone(rt.NodeID) bool
	Describe(rt.NodeID) string
}

// Config is what a node's block store is made of. All fields are needed.
type Config struct {
	Env      rt.Env
	KV       kv.Store
	Disk     Disk
	Tables   *table.Tables
	Rows     *Rows
	Topology Topology
	Quorum   *quorum.Engine
	Endpoint *rpc.Endpoint
	// Compress turns compression of blocks on, for those that it makes smaller.
	Compress bool
}

// Store is one node's blocks, and its way to those of others. Safe for concurrent use.
type Store struct {
	env      rt.Env
	kv       kv.Store
	disk     Disk
	tables   *table.Tables
	rows     *Rows
	topology Topology
	quorum   *quorum.Engine
	endpoint *rpc.Endpoint
	former   *former
	outbound *pool
	inbound  *pool
	lock     rt.Locker
	hashes   map[Hash]*hashLock
}

type putRequest struct {
	Hash Hash      `cbor:"1,keyasint"`
	Ref  table.Row `cbor:"2,keyasint"`
}

type putResponse struct{}

type getRequest struct {
	Hash Hash `cbor:"1,keyasint"`
}

type getResponse struct{}

var (
	methodPut   = rpc.NewMethod[putRequest, putResponse]("block.put", rpc.Bulk)
	methodRefer = rpc.NewMethod[putRequest, putResponse]("block.refer", rpc.Meta)
	methodGet   = rpc.NewMethod[getRequest, getResponse]("block.get", rpc.Bulk)
)

// New returns a node's block store and registers its methods with the endpoint.
func New(c Config) *Store {
	s := &Store{env: c.Env, kv: c.KV, disk: c.Disk, tables: c.Tables, rows: c.Rows, topology: c.Topology,
		quorum: c.Quorum, endpoint: c.Endpoint, former: newFormer(c.Env, c.Compress),
		outbound: newPool(c.Env, buffersMax), inbound: newPool(c.Env, inboundMax), lock: c.Env.NewLock(),
		hashes: map[Hash]*hashLock{}}
	rpc.HandleBody(c.Endpoint, methodPut, s.handlePut)
	rpc.HandleBody(c.Endpoint, methodGet, s.handleGet)
	rpc.Handle(c.Endpoint, methodRefer, s.handleRefer)
	return s
}

// Buffer waits for the memory of one block.
func (s *Store) Buffer(ctx context.Context) (*Buffer, error) { return s.outbound.take(ctx) }

// Crowded reports whether more than half of the memory for blocks is in use, so that nobody should fetch far
// ahead.
func (s *Store) Crowded() bool { return s.outbound.limit.InUse() > buffersMax/2 }

// Put stores a block and its reference on the replicas of its hash; it returns at a write quorum, and the
// rest goes on. The content of buf must not change any more, even after Put returned.
//
// Errors: *quorum.Error; a *table.Refusal if the reference was deleted.
func (s *Store) Put(ctx context.Context, h Hash, buf *Buffer, ref Ref) error {
	row, err := s.rows.row(ref)
	if err != nil {
		return err
	}
	raw := s.former.form(buf.Data)
	req := &putRequest{Hash: h, Ref: row}
	return s.spread(ctx, h, int64(len(raw)), func(ctx context.Context, to rt.NodeID) error {
		if to == s.env.Self() {
			return s.keep(ctx, h, raw, row)
		}
		_, body, err := methodPut.CallBody(ctx, s.endpoint, to, req, rpc.Bytes(raw))
		if err == nil {
			body.Close()
		}
		return err
	}, buf)
}

// Refer adds a reference to a block that replicas hold already, without sending it. Replicas that lack the
// block are sent it from another one.
//
// Errors: as Put; ErrNotFound if no replica has the block.
func (s *Store) Refer(ctx context.Context, h Hash, ref Ref) error {
	row, err := s.rows.row(ref)
	if err != nil {
		return err
	}
	req := &putRequest{Hash: h, Ref: row}
	err = s.spread(ctx, h, int64(len(row.Value)), func(ctx context.Context, to rt.NodeID) error {
		if to == s.env.Self() {
			return s.refer(ctx, h, row)
		}
		_, err := methodRefer.Call(ctx, s.endpoint, to, req)
		return err
	}, nil)
	if !errors.Is(err, ErrNeedBody) {
		return err
	}
	s.env.Sometimes("reference needed a body", true)
	buf, err := s.Get(ctx, h)
	if err != nil {
		return err
	}
	defer buf.Release()
	return s.Put(ctx, h, buf, ref)
}

// spread calls every replica of h in all live sets and returns when each set has its write quorum. held is
// kept while a call that needs it runs.
func (s *Store) spread(ctx context.Context, h Hash, bytes int64, call func(context.Context, rt.NodeID) error,
	held *Buffer) error {
	view, err := s.topology.View(layout.PrefixOf(h[:]))
	if err != nil {
		return err
	}
	targets := s.topology.Nearest(view.Targets())
	if held != nil {
		for range targets {
			held.Retain()
		}
	}
	round := quorum.Start(s.env.Background(), s.quorum, targets, 0,
		func(ctx context.Context, to rt.NodeID) (struct{}, error) {
			if held != nil {
				defer held.Release()
			}
			ctx, cancel := s.env.WithTimeout(ctx, putTimeout)
			defer cancel()
			return struct{}{}, call(ctx, to)
		})
	tally := quorum.NewTally(view, false)
	for tally.Verdict(false) == quorum.Waiting {
		reply, err := round.Next(ctx, 0)
		if err != nil {
			tally.Add(s.env.Self(), quorum.Answer{Vote: quorum.Failed, Err: err})
			break
		}
		answer := quorum.Answer{Vote: quorum.Stored}
		if reply.Err != nil {
			answer = quorum.Answer{Vote: quorum.Failed, Err: reply.Err}
		}
		tally.Add(reply.Node, answer)
	}
	if tally.Verdict(false) == quorum.Acked {
		round.Detach(bytes)
		return nil
	}
	round.Close()
	e := &quorum.Error{Op: "write", Subject: fmt.Sprintf("block %v", h), Need: view.Live[0].Write,
		Got: tally.Got(),
		Of:  len(targets), Unknown: true}
	for _, f := range tally.Failures() {
		e.Causes = append(e.Causes, quorum.Cause{Node: s.topology.Describe(f.Node), Err: f.Err})
	}
	return e
}

// Near reports whether this node or another of its zone should hold h, so that reading it costs no round
// trip.
func (s *Store) Near(h Hash) bool {
	view, err := s.topology.View(layout.PrefixOf(h[:]))
	return err == nil && s.topology.SameZone(s.topology.Nearest(view.Targets())[0])
}

// Get fetches a block, verified, from the nearest replica; from the next one too when that fails or is slower
// than usual. The caller releases the buffer.
//
// Errors: *quorum.Error when no replica delivered it.
func (s *Store) Get(ctx context.Context, h Hash) (*Buffer, error) {
	view, err := s.topology.View(layout.PrefixOf(h[:]))
	if err != nil {
		return nil, err
	}
	nodes := s.topology.Nearest(view.Targets())
	round := quorum.Start(ctx, s.quorum, nodes, 1,
		func(ctx context.Context, from rt.NodeID) (*Buffer, error) {
			ctx, cancel := s.env.WithTimeout(ctx, getTimeout)
			defer cancel()
			return s.fetch(ctx, h, from)
		})
	defer s.abandon(round)
	e := &quorum.Error{Op: "read", Subject: fmt.Sprintf("block %v", h), Need: 1, Of: len(nodes)}
	for asked := 1; ; {
		reply, err := round.Next(ctx, s.topology.Patience(nodes[asked-1:asked])+transferTime)
		switch {
		case errors.Is(err, rt.ErrTimeout):
			if round.More() {
				asked++
				s.env.Sometimes("block read hedged", true)
				s.env.Count("block_hedges_total", 1)
			}
		case errors.Is(err, quorum.ErrAllAnswered):
			return nil, e
		case err != nil:
			return nil, err
		case reply.Err != nil:
			e.Causes = append(e.Causes, quorum.Cause{Node: s.topology.Describe(reply.Node), Err: reply.Err})
			if round.More() {
				asked++
			}
		default:
			return reply.Value, nil
		}
	}
}

// abandon cancels a round of Gets and returns the memory of those that were delivered too late.
func (s *Store) abandon(round *quorum.Round[*Buffer]) {
	round.Close()
	round.Drain(func(late *Buffer) { late.Release() })
}

// fetch reads a block from one node into a new buffer and verifies it.
func (s *Store) fetch(ctx context.Context, h Hash, from rt.NodeID) (*Buffer, error) {
	buf, err := s.outbound.take(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.fill(ctx, h, from, buf); err != nil {
		buf.Release()
		return nil, err
	}
	return buf, nil
}

func (s *Store) fill(ctx context.Context, h Hash, from rt.NodeID, buf *Buffer) (err error) {
	var stored []byte
	if from == s.env.Self() {
		stored, err = s.disk.Read(ctx, h, buf.Data[:0])
	} else {
		stored, err = s.receive(ctx, h, from, buf)
	}
	if err != nil {
		return err
	}
	content, err := s.former.content(nil, stored, h)
	if err != nil {
		s.env.Error("a replica delivered a damaged block", "node", s.topology.Describe(from), "err", err)
		s.env.Count("block_damaged_total", 1)
		return err
	}
	buf.Data = content
	return nil
}

func (s *Store) receive(ctx context.Context, h Hash, from rt.NodeID, buf *Buffer) ([]byte, error) {
	_, body, err := methodGet.CallBody(ctx, s.endpoint, from, &getRequest{Hash: h}, rpc.Body{})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return readAll(buf.Data[:0], body)
}

// readAll reads a stored block, which is at most as long as a plain one.
func readAll(dst []byte, r io.Reader) ([]byte, error) {
	for {
		if len(dst) == cap(dst) {
			if n, err := r.Read(make([]byte, 1)); n == 0 && err == io.EOF {
				return dst, nil
			}
			return nil, fmt.Errorf("more than %d bytes: %w", cap(dst), ErrCorrupt)
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
	if _, err := s.former.content(nil, stored, req.Hash); err != nil {
		return nil, rpc.Body{}, err
	}
	return nil, rpc.Body{}, s.keep(ctx, req.Hash, stored, req.Ref)
}

func (s *Store) handleRefer(ctx context.Context, _ rt.NodeID, req *putRequest) (*putResponse, error) {
	return nil, s.refer(ctx, req.Hash, req.Ref)
}

// handleGet sends the stored form; the receiver verifies it.
func (s *Store) handleGet(ctx context.Context, _ rt.NodeID, req *getRequest, _ io.Reader) (*getResponse,
	rpc.Body, error) {
	buf, err := s.inbound.take(ctx)
	if err != nil {
		return nil, rpc.Body{}, err
	}
	stored, err := s.disk.Read(ctx, req.Hash, buf.Data[:0])
	if err != nil {
		buf.Release()
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
	s.buf.Release()
	return nil
}
