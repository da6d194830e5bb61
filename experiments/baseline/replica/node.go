package replica

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/experiments/baseline/site"
)

// Node is a replica, and a coordinator of all of them.
type Node struct {
	*site.Node
	shelf *shelf
}

// head is a replica's answer about a key.
type head struct {
	Row   Row    `cbor:"1,keyasint"`
	Value []byte `cbor:"2,keyasint,omitempty"` // nil if large, or not there
}

type keyed struct {
	Key string `cbor:"1,keyasint"`
}

type value struct {
	Held  bool   `cbor:"1,keyasint,omitempty"`
	Bytes []byte `cbor:"2,keyasint,omitempty"`
}

type rows struct {
	Rows []Row `cbor:"1,keyasint"`
}

type nothing struct{}

var (
	methodHead       = rpc.NewMethod[keyed, head]("replica.head", rpc.Meta)
	methodValue      = rpc.NewMethod[valueOf, value]("replica.value", rpc.Bulk)
	methodStore      = rpc.NewMethod[Store, nothing]("replica.store", rpc.Meta)
	methodStoreLarge = rpc.NewMethod[Store, nothing]("replica.store-large", rpc.Bulk)
	methodRows       = rpc.NewMethod[nothing, rows]("replica.rows", rpc.Meta)
)

// New registers what the node's replica answers.
func New(n *site.Node) *Node {
	x := &Node{Node: n, shelf: shelfOf(n)}
	ep := n.Endpoint
	store := func(_ context.Context, _ rt.NodeID, r *Store) (*nothing, error) {
		x.shelf.store(r)
		return &nothing{}, nil
	}
	rpc.Handle(ep, methodStore, store)
	rpc.Handle(ep, methodStoreLarge, store)
	rpc.Handle(ep, methodHead, func(_ context.Context, _ rt.NodeID, r *keyed) (*head, error) {
		h := &head{Row: x.Held(r.Key)}
		if h.Row.Bytes <= inlineMax {
			h.Value = x.shelf.values[valueOf{r.Key, h.Row.Version}]
		}
		return h, nil
	})
	rpc.Handle(ep, methodValue, func(_ context.Context, _ rt.NodeID, r *valueOf) (*value, error) {
		bytes, ok := x.shelf.values[*r]
		return &value{Held: ok, Bytes: bytes}, nil
	})
	rpc.Handle(ep, methodRows, func(context.Context, rt.NodeID, *nothing) (*rows, error) {
		list := &rows{}
		for _, key := range slices.Sorted(maps.Keys(x.shelf.rows)) {
			list.Rows = append(list.Rows, x.shelf.rows[key])
		}
		return list, nil
	})
	return x
}

// Held is the row of the node's own replica.
func (x *Node) Held(key string) Row { return x.shelf.rows[key] }

// Next returns a version above all of a counter, which no other writer takes.
func (x *Node) Next(counter uint64) Version {
	return Version{Counter: counter + 1, Writer: x.Env.Rand("versions").Uint64()}
}

// ErrQuorum is the kind of a round that too few replicas answered.
var ErrQuorum = errors.New("no quorum")

// Ask calls every member and returns the first need good answers. What is outstanding then goes on if keep is
// set, as it must for what changes a replica, and is cancelled otherwise. Errors: ErrQuorum when need answers
// have become impossible, with their causes; the context's.
func Ask[R any](ctx context.Context, n *site.Node, need int, keep bool,
	call func(ctx context.Context, to rt.NodeID) (R, error)) ([]quorum.Reply[R], error) {
	life := ctx
	if keep {
		life = n.Env.Background()
	}
	round := quorum.Start(life, n.Engine, n.Members, 0, call)
	if keep {
		defer round.Detach(0)
	} else {
		defer round.Close()
	}
	var good []quorum.Reply[R]
	var faults []error
	for len(good) < need {
		reply, err := round.Next(ctx, 0)
		switch {
		case err != nil:
			return nil, err
		case reply.Err == nil:
			good = append(good, reply)
			continue
		}
		if faults = append(faults, reply.Err); len(faults) > len(n.Members)-need {
			return nil, fmt.Errorf("%w: %d of %d answers needed: %w", ErrQuorum, need, len(n.Members),
				errors.Join(faults...))
		}
	}
	return good, nil
}

// Store stores r at a majority, and at the others in the background.
func (x *Node) Store(ctx context.Context, r Store) error {
	method := methodStore
	if len(r.Value) > inlineMax {
		method = methodStoreLarge
	}
	_, err := Ask(ctx, x.Node, x.Majority(), true, func(ctx context.Context, to rt.NodeID) (*nothing, error) {
		return method.Call(ctx, x.Endpoint, to, &r)
	})
	return err
}

// Head returns the newest row of a key that a majority knows.
func (x *Node) Head(ctx context.Context, key string) (Row, error) {
	f, err := x.find(ctx, key)
	return f.row, err
}

// found is what a majority knows of a key.
type found struct {
	row   Row
	value []byte
	held  bool // a majority has the row
}

func (x *Node) find(ctx context.Context, key string) (found, error) {
	need := x.Majority()
	if x.Env.Mutant("replica/read of one") {
		need = 1
	}
	heads, err := Ask(ctx, x.Node, need, false, func(ctx context.Context, to rt.NodeID) (*head, error) {
		return methodHead.Call(ctx, x.Endpoint, to, &keyed{key})
	})
	if err != nil {
		return found{}, err
	}
	best := found{held: true}
	for i, h := range heads {
		order := h.Value.Row.Version.Compare(best.row.Version)
		best.held = best.held && (i == 0 || order == 0)
		if order > 0 {
			best.row, best.value = h.Value.Row, nil
		}
		if order >= 0 && best.value == nil {
			best.value = h.Value.Value
		}
	}
	return best, nil
}

// errGone is what fetch returns for a value that nobody has any more.
var errGone = errors.New("the value has been replaced")

// Get reads a key: one round, and another where a majority need not have what it found. A large value comes
// from the node's own replica, or from the first other one that has it. Errors: site.ErrAbsent; as Ask.
func (x *Node) Get(ctx context.Context, key string) ([]byte, error) {
	for {
		f, err := x.find(ctx, key)
		if err != nil {
			return nil, err
		}
		if f.row.Live && f.value == nil {
			if f.value, err = x.fetch(ctx, f.row); errors.Is(err, errGone) {
				continue
			} else if err != nil {
				return nil, err
			}
		}
		if !f.held && !x.Env.Mutant("replica/no write-back") {
			if err := x.Store(ctx, Store{Row: f.row, Value: f.value, Commit: true}); err != nil {
				return nil, err
			}
		}
		if !f.row.Live {
			return nil, site.ErrAbsent
		}
		return f.value, nil
	}
}

// fetch returns the value of a row.
func (x *Node) fetch(ctx context.Context, row Row) ([]byte, error) {
	name := valueOf{row.Key, row.Version}
	self := x.Self()
	order := slices.Concat([]rt.NodeID{x.Members[self]}, x.Members[:self], x.Members[self+1:])
	round := quorum.Start(ctx, x.Engine, order, 1, func(ctx context.Context, to rt.NodeID) (*value, error) {
		return methodValue.Call(ctx, x.Endpoint, to, &name)
	})
	defer round.Close()
	failed := error(errGone)
	for {
		reply, err := round.Next(ctx, 0)
		switch {
		case errors.Is(err, quorum.ErrAllAnswered):
			return nil, failed
		case err != nil:
			return nil, err
		case reply.Err != nil:
			failed = reply.Err
		case reply.Value.Held:
			return reply.Value.Bytes, nil
		}
		round.More()
	}
}

// Buckets implements site.Store.
func (x *Node) Buckets(ctx context.Context) ([]byte, error) { return x.Get(ctx, site.BucketsKey) }

// List implements site.Store, in one round.
func (x *Node) List(ctx context.Context) ([]string, error) {
	lists, err := Ask(ctx, x.Node, x.Majority(), false,
		func(ctx context.Context, to rt.NodeID) (*rows, error) {
			return methodRows.Call(ctx, x.Endpoint, to, &nothing{})
		})
	if err != nil {
		return nil, err
	}
	newest := map[string]Row{}
	for _, list := range lists {
		for _, row := range list.Value.Rows {
			if row.Version.Compare(newest[row.Key].Version) > 0 {
				newest[row.Key] = row
			}
		}
	}
	delete(newest, site.BucketsKey)
	maps.DeleteFunc(newest, func(_ string, row Row) bool { return !row.Live })
	return slices.Sorted(maps.Keys(newest)), nil
}
