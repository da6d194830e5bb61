package register

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"granary/core/cluster"
	"granary/core/codec"
	"granary/core/kv"
	"granary/core/rpc"
	"granary/core/rt"
)

// Limits of a register.
const (
	// KeyMax is the longest key, in bytes.
	KeyMax = 256
	// ValueMax is the longest value, in bytes.
	ValueMax = 2 << 20
)

// keyPrefix begins the local keys of this package.
const keyPrefix = "\x01register/"

var kindState = codec.Register(0x60, 1, "register state")

// ballot names an attempt to change a register. The greater one wins. Zero is before every attempt.
type ballot struct {
	Round uint64    `cbor:"1,keyasint"`
	Node  rt.NodeID `cbor:"2,keyasint"` // who attempts
}

func (b ballot) compare(o ballot) int {
	return cmp.Or(cmp.Compare(b.Round, o.Round), b.Node.Compare(o.Node))
}

// state is what a voter has promised and accepted for one register. Promised is never less than Accepted.
type state struct {
	Promised ballot `cbor:"1,keyasint"`
	Accepted ballot `cbor:"2,keyasint"`
	Value    []byte `cbor:"3,keyasint,omitempty"` // accepted; nil if Accepted is zero
}

type prepareRequest struct {
	Key    string       `cbor:"1,keyasint"`
	Ballot ballot       `cbor:"2,keyasint"` // zero: promise nothing, only tell
	Plan   cluster.Plan `cbor:"3,keyasint,omitzero"`
}

// prepareResponse is the state before the promise. The promise is given if Promised is less than the ballot.
type prepareResponse struct {
	State state `cbor:"1,keyasint"`
}

type acceptRequest struct {
	Key    string       `cbor:"1,keyasint"`
	Ballot ballot       `cbor:"2,keyasint"`
	Value  []byte       `cbor:"3,keyasint"`
	Plan   cluster.Plan `cbor:"4,keyasint,omitzero"`
}

// acceptResponse has what was promised before; the value is accepted unless that is greater than the ballot.
type acceptResponse struct {
	Promised ballot `cbor:"1,keyasint"`
}

var (
	methodPrepare = rpc.NewMethod[prepareRequest, prepareResponse]("register.prepare", rpc.Meta)
	methodAccept  = rpc.NewMethod[acceptRequest, acceptResponse]("register.accept", rpc.Meta)
)

func (r *Registers) handlePrepare(ctx context.Context, _ rt.NodeID, req *prepareRequest) (*prepareResponse,
	error) {
	var before state
	if req.Ballot == (ballot{}) {
		err := r.store.View(func(w kv.Reader) (err error) {
			if err = r.admit(w, req.Plan); err == nil {
				before, err = load(w, req.Key)
			}
			return err
		})
		return &prepareResponse{before}, err
	}
	before, err := r.change(ctx, req.Key, req.Plan, func(s state) (state, bool) {
		if req.Ballot.compare(s.Promised) <= 0 {
			return s, false
		}
		s.Promised = req.Ballot
		return s, true
	})
	return &prepareResponse{before}, err
}

func (r *Registers) handleAccept(ctx context.Context, _ rt.NodeID, req *acceptRequest) (*acceptResponse,
	error) {
	if len(req.Value) > ValueMax {
		return nil, fmt.Errorf("register %.300q: value of %d bytes: want at most %d", req.Key, len(req.Value),
			ValueMax)
	}
	before, err := r.change(ctx, req.Key, req.Plan, func(s state) (state, bool) {
		if req.Ballot.compare(s.Promised) < 0 && !r.env.Mutant("register accepts what it promised not to") {
			return s, false
		}
		return state{Promised: req.Ballot, Accepted: req.Ballot, Value: req.Value}, true
	})
	return &acceptResponse{before.Promised}, err
}

// admit refuses what was planned with an old layout, and to vote in a store that may have forgotten votes.
//
// Errors: cluster.ErrOldLayout, cluster.ErrSyncing.
func (r *Registers) admit(w kv.Reader, p cluster.Plan) error {
	if _, err := cluster.AdmitWrite(r.env, w, p); err != nil {
		return err
	}
	g, _ := cluster.ReadGuard(w)
	if (g.Amnesiac || g.Unsure) && !r.env.Mutant("register: a lost store votes") {
		return cluster.ErrSyncing
	}
	return nil
}

// change replaces the state of a register, durably, if f says so, and returns the state before.
func (r *Registers) change(ctx context.Context, key string, p cluster.Plan, f func(state) (state, bool)) (
	before state, err error) {
	err = r.store.Update(ctx, func(w kv.Writer) (err error) {
		if err = r.admit(w, p); err != nil {
			return err
		}
		if before, err = load(w, key); err != nil {
			return err
		}
		after, changed := f(before)
		if !changed {
			return nil
		}
		sealed, err := codec.Seal(kindState, 1, after)
		if err != nil {
			return err
		}
		w.Put([]byte(keyPrefix+key), sealed)
		return nil
	})
	return before, err
}

// Accepted calls f for the values that this node accepted, by key, of the registers whose keys begin with
// prefix, until f returns false. They need not be decided: Read tells. f must be short and must not wait.
//
// Errors: codec.ErrCorrupt, of the store.
func (r *Registers) Accepted(prefix string, f func(key string, value []byte) bool) error {
	start := []byte(keyPrefix + prefix)
	end := append(slices.Clone(start), 0xff)
	return r.store.View(func(w kv.Reader) (failed error) {
		w.Ascend(start, end, func(k, raw []byte) bool {
			s, err := codec.Load[state](raw, kindState)
			if err != nil {
				failed = fmt.Errorf("register %.300q: %w", k[len(keyPrefix):], err)
				return false
			}
			return s.Value == nil || f(string(k[len(keyPrefix):]), s.Value)
		})
		return failed
	})
}

// load reads the state of a register; the value is a copy.
//
// Errors: of a bad key; codec.ErrCorrupt. A damaged state must not pass for one that has promised nothing.
func load(r kv.Reader, key string) (state, error) {
	if key == "" || len(key) > KeyMax {
		return state{}, fmt.Errorf("register key of %d bytes: want 1 to %d", len(key), KeyMax)
	}
	raw := r.Get([]byte(keyPrefix + key))
	if raw == nil {
		return state{}, nil
	}
	s, err := codec.Load[state](raw, kindState)
	if err != nil {
		return state{}, fmt.Errorf("register %.300q: %w", key, err)
	}
	s.Value = bytes.Clone(s.Value)
	return s, nil
}
