package table

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"granary/core/cluster"
	"granary/core/kv"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
)

// RangeMax is the most rows that one RangeRows returns.
const RangeMax = 1000

// RangeRequest asks for rows of one partition key in order, upwards or downwards.
type RangeRequest struct {
	Subject string // names the read in errors
	PK      []byte
	// Start and End bound the sort keys, [Start, End); nil: no bound.
	Start, End []byte
	// Reverse goes from the greatest sort key down.
	Reverse bool
	// Max bounds the rows; 0, and what exceeds it, means RangeMax.
	Max int
}

// RangeResult is a part of a range.
type RangeResult[T any] struct {
	Sorts [][]byte // in the order of the walk
	Rows  []T
	// Whole says that the range ends here; else Rest is what is left of it.
	Whole bool
	Rest  RangeRequest
}

type rangeRequest struct {
	Table   ID           `cbor:"1,keyasint"`
	PK      []byte       `cbor:"2,keyasint"`
	Start   []byte       `cbor:"3,keyasint,omitempty"`
	End     []byte       `cbor:"4,keyasint,omitempty"`
	Reverse bool         `cbor:"5,keyasint,omitempty"`
	Max     int          `cbor:"6,keyasint"`
	Plan    cluster.Plan `cbor:"7,keyasint,omitzero"`
}

type rangeResponse struct {
	Rows  []Row `cbor:"1,keyasint,omitempty"` // in the order of the walk
	Whole bool  `cbor:"2,keyasint,omitempty"`
	// Syncing says that the replica does not know everything that was acknowledged; then there are no rows.
	Syncing bool `cbor:"3,keyasint,omitempty"`
}

var methodRange = rpc.NewMethod[rangeRequest, rangeResponse]("table.range", rpc.Meta)

// handleRange returns this node's rows of a range, as far as an answer goes.
func (t *Tables) handleRange(_ context.Context, _ rt.NodeID, req *rangeRequest) (*rangeResponse, error) {
	s, err := t.registry.schema(req.Table)
	if err != nil {
		return nil, err
	}
	if _, name, n := s.describe(); len(req.PK) != n {
		return nil, fmt.Errorf("table %s: range of partition key %x: %w", name, req.PK, ErrMalformedRow)
	}
	resp := &rangeResponse{}
	err = t.store.View(func(r kv.Reader) error {
		inSync, err := cluster.AdmitRead(t.env, r, req.Plan)
		if resp.Syncing = !inSync; err != nil || resp.Syncing {
			return err
		}
		return answerRange(r, s, req, resp)
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func answerRange(r kv.Reader, s schema, req *rangeRequest, resp *rangeResponse) error {
	id, _, pkLen := s.describe()
	lo, hi := newReader(nil, req.PK).bounds(id, req.Start, req.End)
	size, full := 0, false
	var failed error
	visit := func(k, stored []byte) bool {
		row, err := s.unseal(stored)
		if err != nil {
			failed = err
			return false
		}
		size += len(k) + len(row)
		if n := len(resp.Rows); n > 0 && (size > pageBytesMax || n >= clamp(req.Max, RangeMax)) {
			full = true
			return false
		}
		resp.Rows = append(resp.Rows, Row{Table: id, Sort: bytes.Clone(k[localHeadLen+pkLen:]),
			Value: bytes.Clone(row)})
		return true
	}
	if req.Reverse {
		r.Descend(lo, hi, visit)
	} else {
		r.Ascend(lo, hi, visit)
	}
	resp.Whole = !full
	return failed
}

// RangeRows returns the next rows of a range, whatever their state, from the join of a read quorum. Replicas
// found to lack something are sent it in the background.
//
// Errors: *quorum.Error, ErrMalformedRow. Cost: one round; rows of up to 2 MiB together.
func RangeRows[T any](ctx context.Context, t *Tables, tab *Table[T], q RangeRequest) (RangeResult[T], error) {
	out := RangeResult[T]{Rest: q}
	if q.Max <= 0 || q.Max > RangeMax {
		q.Max = RangeMax
	}
	var f *Fetched
	var whole bool
	var edge []byte
	err := t.planned(ctx, func() (cluster.View, error) { return t.view(q.PK) },
		func(view cluster.View) ([]quorum.Failure, error) {
			f = &Fetched{tables: t, view: view, pk: q.PK, subject: q.Subject, rows: map[rowKey]Row{}}
			var err error
			whole, edge, err = t.askRange(ctx, f, &rangeRequest{Table: tab.def.ID, PK: q.PK, Start: q.Start,
				End: q.End, Reverse: q.Reverse, Max: q.Max, Plan: view.Plan()})
			return f.failed, err
		})
	if err != nil {
		return out, err
	}
	defer f.Close()
	out.Sorts, out.Rows, err = JoinedAll(f, tab)
	if q.Reverse {
		slices.Reverse(out.Sorts)
		slices.Reverse(out.Rows)
	}
	if out.Whole = whole; !whole && q.Reverse {
		out.Rest.End = edge
	} else if !whole {
		out.Rest.Start = append(bytes.Clone(edge), 0)
	}
	return out, err
}

// askRange takes the answers of a read quorum into f. Rows behind edge, up to which all of them go, are left
// out.
func (t *Tables) askRange(ctx context.Context, f *Fetched, req *rangeRequest) (whole bool, edge []byte,
	err error) {
	round := quorum.Start(t.env.Background(), t.quorum, t.topology.Nearest(f.view.ReadSet().Nodes), 0,
		func(ctx context.Context, to rt.NodeID) (*rangeResponse, error) {
			ctx, cancel := t.env.WithTimeout(ctx, ReadTimeout)
			defer cancel()
			return methodRange.Call(ctx, t.endpoint, to, req)
		})
	defer round.Close()
	ctx, cancel := t.env.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	behind := func(a, b []byte) bool { return bytes.Compare(a, b) > 0 != req.Reverse && !bytes.Equal(a, b) }
	whole = true
	for need := f.view.ReadSet().Read; len(f.replies) < need; {
		reply, err := round.Next(ctx, 0)
		if err != nil {
			return false, nil, f.missed(err)
		}
		if reply.Err == nil && reply.Value.Syncing {
			reply.Err = cluster.ErrSyncing
		}
		if reply.Err != nil {
			f.failed = append(f.failed, quorum.Failure{Node: reply.Node, Err: reply.Err})
			continue
		}
		rows := reply.Value.Rows
		if n := len(rows); !reply.Value.Whole && n > 0 && (whole || behind(edge, rows[n-1].Sort)) {
			whole, edge = false, rows[n-1].Sort
		}
		f.replies = append(f.replies, quorum.Reply[*fetchResponse]{Node: reply.Node,
			Value: &fetchResponse{Rows: rows}})
	}
	for i := range f.replies {
		v := f.replies[i].Value
		v.Rows = slices.DeleteFunc(v.Rows, func(r Row) bool { return !whole && behind(r.Sort, edge) })
		if err := f.joinAll(v.Rows); err != nil {
			return false, nil, err
		}
	}
	f.round = ended(t)
	return whole, edge, nil
}

// ended is a round that asks nobody.
func ended(t *Tables) *quorum.Round[*fetchResponse] {
	return quorum.Start(t.env.Background(), t.quorum, nil, 0,
		func(context.Context, rt.NodeID) (*fetchResponse, error) { return nil, nil })
}

// Behind returns the first sort key behind every one that begins with prefix, nil if there is none.
func Behind(prefix []byte) []byte { return appendSuccessor(nil, prefix) }
