package table

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
)

// ErrUnmet means that a replica did not apply a write that was sent ahead, and never will: what it needs was
// not durable in time, as far as the replica could tell.
var ErrUnmet = rpc.RegisterError("table.unmet", errors.New("what the write needs is not durable yet"))

const (
	// aheadWait is how long a replica waits for what a write needs: longer than a block takes on a line that
	// is worth the haste, far shorter than the time a write has.
	aheadWait = 2 * time.Second
	// aheadMax bounds the writes that wait at one replica.
	aheadMax = 256
)

// Ahead lets a write start before what it refers to is durable. A replica applies it as soon as it has found
// out by itself that Needs are met, which a neighbour may tell it long before the coordinator knows; and at
// the latest once the coordinator, which does, sends it again without them.
type Ahead struct {
	// Needs is for the function given to Tables.Needs.
	Needs []byte
	// Ready is set once everything is durable, or will never be.
	Ready *rt.Future[struct{}]
}

// Needs sets the function that waits, at a replica, until the needs of a write are durable. It returns
// ErrUnmet if it cannot tell. Called once, before the node is started.
func (t *Tables) Needs(wait func(ctx context.Context, needs []byte) error) { t.needs = wait }

// aheadRequest is a write and what it needs. It has a method of its own: a node that does not know it refuses
// it, where a field of writeRequest that it does not know would have it apply the rows at once.
type aheadRequest struct {
	Write writeRequest `cbor:"1,keyasint"`
	Needs []byte       `cbor:"2,keyasint"`
}

var methodAhead = rpc.NewMethod[aheadRequest, writeResponse]("table.ahead", rpc.Meta)

// handleAhead applies a row batch once its needs are met.
//
// Errors: ErrUnmet, and those of handleWrite.
func (t *Tables) handleAhead(ctx context.Context, from rt.NodeID, req *aheadRequest) (*writeResponse, error) {
	if err := t.await(ctx, req.Needs); err != nil {
		return nil, err
	}
	return t.handleWrite(ctx, from, &req.Write)
}

// await waits until the needs of a write that was sent ahead are met.
//
// Errors: ErrUnmet.
func (t *Tables) await(ctx context.Context, needs []byte) error {
	if t.env.Mutant("ahead: rows do not wait") {
		return nil
	}
	if t.needs == nil || !t.ahead.TryAcquire(1) {
		return ErrUnmet
	}
	defer t.ahead.Release(1)
	ctx, cancel := t.env.WithTimeout(ctx, aheadWait)
	defer cancel()
	if err := t.needs(ctx, needs); err != nil {
		return fmt.Errorf("%w: %v", ErrUnmet, err) // this node's say, whatever another's was
	}
	t.env.Sometimes("a row was there before its coordinator knew that it may be", true)
	return nil
}

// haste is an attempt of a write that is sent ahead.
type haste struct {
	*Ahead
	t *Tables
	// lifted is set when the write may be sent without its needs, or to ErrUnmet when no replica waits for
	// them any more and none has stored it.
	lifted *rt.Future[struct{}]
	lock   rt.Locker
	hopes  int // replicas that may still find the needs met, or did
}

// hasten starts an attempt at so many replicas.
func (t *Tables) hasten(a *Ahead, replicas int) *haste {
	h := &haste{Ahead: a, t: t, lifted: rt.NewFuture[struct{}](t.env), lock: t.env.NewLock(), hopes: replicas}
	t.group.Go("write ahead", func(ctx context.Context) error {
		ctx, cancel := t.env.WithTimeout(ctx, WriteTimeout)
		defer cancel()
		h.lifted.Set(a.Ready.Get(ctx))
		return nil
	})
	return h
}

// send brings the write to one replica, with its needs, and without once it may; the first answer counts.
func (h *haste) send(ctx context.Context, to rt.NodeID, req *writeRequest) (*writeResponse, error) {
	replies := rt.NewQueue[quorum.Reply[*writeResponse]](h.t.env, 2)
	group := rt.NewGroup(h.t.env, ctx)
	defer group.Cancel()
	try := func(name string, call func(context.Context) (*writeResponse, error)) {
		group.Go(name, func(ctx context.Context) error {
			resp, err := call(ctx)
			replies.TryPut(quorum.Reply[*writeResponse]{Node: to, Value: resp, Err: err})
			return nil
		})
	}
	try("send ahead", func(ctx context.Context) (*writeResponse, error) { return h.early(ctx, to, req) })
	try("send when ready", func(ctx context.Context) (*writeResponse, error) {
		if _, err := h.lifted.Get(ctx); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnmet, err)
		}
		return methodWrite.Call(ctx, h.t.endpoint, to, req)
	})
	var failed error
	for range 2 {
		reply, err := replies.Get(ctx)
		if err = cmp.Or(err, reply.Err); err == nil {
			return reply.Value, nil
		}
		if failed == nil || certain(failed) {
			failed = err
		}
	}
	return nil, failed
}

// early sends the write with its needs.
func (h *haste) early(ctx context.Context, to rt.NodeID, req *writeRequest) (*writeResponse, error) {
	resp, err := methodAhead.Call(ctx, h.t.endpoint, to, &aheadRequest{Write: *req, Needs: h.Needs})
	if err == nil || !certain(err) {
		return resp, err
	}
	h.lock.Lock()
	h.hopes--
	last := h.hopes == 0
	h.lock.Unlock()
	if last {
		h.lifted.Set(struct{}{}, ErrUnmet)
	}
	return nil, err
}
