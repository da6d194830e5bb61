package register

import (
	"context"
	"fmt"
	"slices"

	"granary/core/cluster"
	"granary/core/codec"
	"granary/core/kv"
	"granary/core/rpc"
	"granary/core/rt"
)

// statesBytesMax bounds the values that one message brings, give or take one.
const statesBytesMax = 1 << 20

// statesMax bounds the registers that one message brings.
const statesMax = 1000

type statesRequest struct {
	After  string         `cbor:"1,keyasint"` // the last key of the message before
	Source cluster.Source `cbor:"2,keyasint"` // what the answerer must be
}

type keyedState struct {
	Key   string `cbor:"1,keyasint"`
	State state  `cbor:"2,keyasint"`
}

type statesResponse struct {
	States []keyedState `cbor:"1,keyasint,omitempty"` // ordered by key; none is left if there are none
}

var methodStates = rpc.NewMethod[statesRequest, statesResponse]("register.states", rpc.Bulk)

// handleStates tells what this voter has promised and accepted, from a key on.
func (r *Registers) handleStates(_ context.Context, _ rt.NodeID, req *statesRequest) (*statesResponse,
	error) {
	resp := &statesResponse{}
	start := append([]byte(keyPrefix+req.After), 0)
	end := append([]byte(keyPrefix), 0xff)
	err := r.store.View(func(w kv.Reader) error {
		if err := cluster.AdmitSync(r.env, w, req.Source); err != nil {
			return err
		}
		size, failed := 0, error(nil)
		w.Ascend(start, end, func(k, raw []byte) bool {
			s, err := codec.Load[state](raw, kindState)
			if err != nil {
				failed = fmt.Errorf("register %.300q: %w", k[len(keyPrefix):], err)
				return false
			}
			s.Value = slices.Clone(s.Value)
			resp.States = append(resp.States, keyedState{string(k[len(keyPrefix):]), s})
			size += len(k) + len(s.Value)
			return size < statesBytesMax && len(resp.States) < statesMax
		})
		return failed
	})
	return resp, err
}

// TakeOver takes over what another voter has promised and accepted. A voter whose store was lost does not
// know its own votes; after it did that from so many others that each quorum has one of them, and every
// change that counted on those votes is over, it has promised no less than it must have.
//
// Errors: cluster.ErrOldLayout and cluster.ErrSyncing if the peer is not what source says, those of the call
// and of the store.
func (r *Registers) TakeOver(ctx context.Context, peer rt.NodeID, source cluster.Source) error {
	for req := (&statesRequest{Source: source}); ; {
		resp, err := methodStates.Call(ctx, r.endpoint, peer, req)
		if err != nil || len(resp.States) == 0 {
			return err
		}
		if err := r.store.Update(ctx, func(w kv.Writer) error { return adopt(w, resp.States) }); err != nil {
			return err
		}
		last := resp.States[len(resp.States)-1].Key
		if last <= req.After {
			return fmt.Errorf("register %.300q after %.300q: %w", last, req.After, rpc.ErrMalformed)
		}
		req = &statesRequest{After: last, Source: source}
	}
}

// adopt raises this voter's states to those of another.
func adopt(w kv.Writer, states []keyedState) error {
	for _, k := range states {
		mine, err := load(w, k.Key)
		if err != nil {
			return err
		}
		if mine.Promised.compare(k.State.Promised) < 0 {
			mine.Promised = k.State.Promised
		}
		if mine.Accepted.compare(k.State.Accepted) < 0 {
			mine.Accepted, mine.Value = k.State.Accepted, k.State.Value
		}
		sealed, err := codec.Seal(kindState, 1, mine)
		if err != nil {
			return err
		}
		w.Put([]byte(keyPrefix+k.Key), sealed)
	}
	return nil
}
