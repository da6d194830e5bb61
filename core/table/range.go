package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"granary/core/cluster"
	"granary/core/kv"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
)

// RangeMax is the most rows that are returned of one range at a time.
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

type rangesRequest struct {
	Ranges []rangeRequest `cbor:"1,keyasint"`
	Bytes  int            `cbor:"2,keyasint"` // bounds the rows of the answer; a single longer one still goes
	Plan   cluster.Plan   `cbor:"3,keyasint,omitzero"`
}

type rangeRequest struct {
	Table   ID     `cbor:"1,keyasint"`
	PK      []byte `cbor:"2,keyasint"`
	Start   []byte `cbor:"3,keyasint,omitempty"`
	End     []byte `cbor:"4,keyasint,omitempty"`
	Reverse bool   `cbor:"5,keyasint,omitempty"`
	Max     int    `cbor:"6,keyasint"`
}

func (q *rangeRequest) size() int { return len(q.PK) + len(q.Start) + len(q.End) + rangeOverhead }

// rangesResponse has a part for each range that the answer came to: the first ones, one at least.
type rangesResponse struct {
	Parts []rangePart `cbor:"1,keyasint,omitempty"`
}

type rangePart struct {
	Rows  []Row `cbor:"1,keyasint,omitempty"` // in the order of the walk
	Whole bool  `cbor:"2,keyasint,omitempty"`
}

var methodRanges = rpc.NewMethod[rangesRequest, rangesResponse]("table.ranges", rpc.Meta)

const (
	// rangesMax bounds the ranges of one message, and rangesBytesMax what they take in it.
	rangesMax      = 10_000
	rangesBytesMax = 1 << 20
	// rangesBytesMin is what an answer may hold at least, however many messages share pageBytesMax.
	rangesBytesMin = 64 << 10
	// rangesLearnMax is how many newer layouts are learnt for one call: its ranges are of several replica
	// sets, any of which may know more than the others.
	rangesLearnMax = 2
	// rangeOverhead is what a range or a part takes besides keys and rows, at most.
	rangeOverhead = 32
)

// handleRanges returns this node's rows of ranges, as far as an answer goes.
func (t *Tables) handleRanges(_ context.Context, _ rt.NodeID, req *rangesRequest) (*rangesResponse, error) {
	if n := len(req.Ranges); n < 1 || n > rangesMax {
		return nil, fmt.Errorf("%d ranges: %w", n, rpc.ErrMalformed)
	}
	resp := &rangesResponse{}
	err := t.store.View(func(r kv.Reader) error {
		if err := cluster.AdmitRead(t.env, r, req.Plan); err != nil {
			return err
		}
		room := clamp(req.Bytes, pageBytesMax)
		for i := range req.Ranges {
			part, err := t.answerRange(r, &req.Ranges[i], &room, i == 0)
			if err != nil {
				return err
			}
			if !part.Whole && len(part.Rows) == 0 {
				break
			}
			resp.Parts = append(resp.Parts, part)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// answerRange returns the first rows of a range that there is room for; always one if it is the first range.
func (t *Tables) answerRange(r kv.Reader, req *rangeRequest, room *int, first bool) (part rangePart,
	err error) {
	s, err := t.registry.schema(req.Table)
	if err != nil {
		return part, err
	}
	id, name, pkLen := s.describe()
	if len(req.PK) != pkLen {
		return part, fmt.Errorf("table %s: range of partition key %x: %w", name, req.PK, ErrMalformedRow)
	}
	if *room -= rangeOverhead; *room < 0 && !first {
		return part, nil
	}
	lo, hi := newReader(nil, req.PK).bounds(id, req.Start, req.End)
	full := false
	visit := func(k, stored []byte) bool {
		var row []byte
		if row, err = s.unseal(stored); err != nil {
			err = atKey(k, err)
			return false
		}
		n, size := len(part.Rows), len(k)+len(row)
		if full = size > *room && (n > 0 || !first) || n >= clamp(req.Max, RangeMax); full {
			return false
		}
		*room -= size
		part.Rows = append(part.Rows, Row{Table: id, Sort: bytes.Clone(k[localHeadLen+pkLen:]),
			Value: bytes.Clone(row)})
		return true
	}
	if req.Reverse {
		r.Descend(lo, hi, visit)
	} else {
		r.Ascend(lo, hi, visit)
	}
	part.Whole = !full
	return part, err
}

// RangeRows is Ranges for one range.
func RangeRows[T any](ctx context.Context, t *Tables, tab *Table[T], q RangeRequest) (RangeResult[T], error) {
	out, err := Ranges(ctx, t, tab, []RangeRequest{q})
	if err != nil {
		return RangeResult[T]{Rest: q}, err
	}
	return out[0], nil
}

// Ranges returns the next rows of each range, whatever their state, from the join of a read quorum. A range
// that the answers did not come to has no rows, and all of it is its Rest; one range at least has rows or is
// whole. Replicas found to lack something are sent it in the background.
//
// Errors: *quorum.Error, ErrMalformedRow, those of Topology.View. Cost: one round, in which each replica
// gets one message for all ranges of its replica set; rows of up to 2 MiB together, or 64 KiB for each
// replica set if that is more.
func Ranges[T any](ctx context.Context, t *Tables, tab *Table[T], qs []RangeRequest) ([]RangeResult[T],
	error) {
	for learnt := 0; len(qs) > 0; learnt++ {
		out := make([]RangeResult[T], len(qs))
		for i, q := range qs {
			out[i].Rest = q
		}
		fails, err := rangesOnce(ctx, t, tab, qs, out)
		if err == nil {
			return out, nil
		}
		if learnt == rangesLearnMax || !quorum.Learn(ctx, t.topology, fails) {
			return nil, err
		}
		t.env.Sometimes("planned anew with a newer layout", true)
	}
	return nil, nil
}

// rangesOnce is Ranges with the layout as it is known now; fails are the replicas that failed.
func rangesOnce[T any](ctx context.Context, t *Tables, tab *Table[T], qs []RangeRequest,
	out []RangeResult[T]) (fails []quorum.Failure, err error) {
	asks, err := t.rangesAsks(tab.def.ID, qs)
	if err != nil {
		return nil, err
	}
	if len(asks) == 1 {
		return askRanges(ctx, t, tab, asks[0], out)
	}
	failed, errs := make([][]quorum.Failure, len(asks)), make([]error, len(asks))
	g := rt.NewGroup(t.env, t.env.Background())
	for i, a := range asks {
		g.Go("ranges", func(context.Context) error {
			failed[i], errs[i] = askRanges(ctx, t, tab, a, out)
			return nil
		})
	}
	err = g.Wait()
	return slices.Concat(failed...), errors.Join(err, errors.Join(errs...))
}

// rangesAsk is a message about ranges of one replica set.
type rangesAsk struct {
	view    cluster.View
	subject string
	index   []int // of the ranges
	req     rangesRequest
	size    int
}

// rangesAsks deals ranges into messages.
func (t *Tables) rangesAsks(id ID, qs []RangeRequest) (asks []*rangesAsk, err error) {
	open := map[string]*rangesAsk{}
	for i, q := range qs {
		view, err := t.view(q.PK)
		if err != nil {
			return nil, err
		}
		set := fmt.Append(nil, view.Plan())
		for _, n := range view.ReadSet().Nodes {
			set = append(set, n[:]...)
		}
		req := rangeRequest{Table: id, PK: q.PK, Start: q.Start, End: q.End, Reverse: q.Reverse,
			Max: RangeMax}
		if q.Max > 0 {
			req.Max = min(q.Max, RangeMax)
		}
		a := open[string(set)]
		if a == nil || a.size+req.size() > rangesBytesMax || len(a.index) == rangesMax {
			a = &rangesAsk{view: view, subject: q.Subject}
			open[string(set)], asks = a, append(asks, a)
		}
		a.index, a.size = append(a.index, i), a.size+req.size()
		a.req.Ranges = append(a.req.Ranges, req)
	}
	for _, a := range asks {
		a.req.Plan = a.view.Plan()
		a.req.Bytes = max(pageBytesMax/len(asks), rangesBytesMin)
		if more := len(a.index) - 1; more > 0 {
			a.subject = fmt.Sprintf("%s and %d more", a.subject, more)
		}
	}
	return asks, nil
}

// askRanges makes the round of a message, and fills in the results of its ranges.
func askRanges[T any](ctx context.Context, t *Tables, tab *Table[T], a *rangesAsk,
	out []RangeResult[T]) ([]quorum.Failure, error) {
	replies, fails, err := t.rangesReplies(ctx, a)
	if err != nil {
		return fails, err
	}
	for n, at := range a.index {
		parts := make([]quorum.Reply[*fetchResponse], 0, len(replies))
		cut := &rangeCut{reverse: a.req.Ranges[n].Reverse}
		for _, reply := range replies {
			if n >= len(reply.Value.Parts) {
				return nil, nil // the answers did not come to the rest
			}
			part := reply.Value.Parts[n]
			cut.add(part)
			parts = append(parts, quorum.Reply[*fetchResponse]{Node: reply.Node,
				Value: &fetchResponse{Rows: part.Rows}})
		}
		f := &Fetched{tables: t, view: a.view, wants: a.view.ReadSet().Reading(), pk: a.req.Ranges[n].PK,
			subject: a.subject,
			rows:    map[rowKey]Row{}, replies: parts, round: ended(t)}
		if out[at], err = joinRange(f, tab, cut, out[at].Rest); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// rangesReplies takes the answers of a read quorum.
func (t *Tables) rangesReplies(ctx context.Context, a *rangesAsk) ([]quorum.Reply[*rangesResponse],
	[]quorum.Failure, error) {
	set := a.view.ReadSet()
	round := quorum.Start(t.env.Background(), t.quorum, t.topology.Nearest(set.Nodes), 0,
		func(ctx context.Context, to rt.NodeID) (*rangesResponse, error) {
			ctx, cancel := t.env.WithTimeout(ctx, ReadTimeout)
			defer cancel()
			return methodRanges.Call(ctx, t.endpoint, to, &a.req)
		})
	defer round.Close()
	ctx, cancel := t.env.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	var replies []quorum.Reply[*rangesResponse]
	f := &Fetched{tables: t, view: a.view, wants: set.Reading(), subject: a.subject} // for the error
	for !f.wants.Writes(f.replied) {
		reply, err := round.Next(ctx, 0)
		if err != nil {
			return nil, f.failed, f.missed(err)
		}
		if reply.Err == nil && (len(reply.Value.Parts) == 0 || len(reply.Value.Parts) > len(a.index)) {
			reply.Err = fmt.Errorf("%d parts of %d ranges: %w", len(reply.Value.Parts), len(a.index),
				rpc.ErrMalformed)
		}
		if reply.Err != nil {
			f.failed = append(f.failed, quorum.Failure{Node: reply.Node, Err: reply.Err})
			if len(replies)+round.Left() < set.Read {
				return nil, f.failed, f.missed(quorum.ErrAllAnswered)
			}
			continue
		}
		f.replies = append(f.replies, quorum.Reply[*fetchResponse]{Node: reply.Node})
		replies = append(replies, reply)
	}
	return replies, nil, nil
}

// rangeCut is how far all parts of a range go.
type rangeCut struct {
	reverse bool
	cut     bool
	edge    []byte // the last sort key that counts, if cut
}

func (c *rangeCut) behind(a, b []byte) bool {
	return bytes.Compare(a, b) > 0 != c.reverse && !bytes.Equal(a, b)
}

func (c *rangeCut) add(p rangePart) {
	if n := len(p.Rows); !p.Whole && n > 0 && (!c.cut || c.behind(c.edge, p.Rows[n-1].Sort)) {
		c.cut, c.edge = true, p.Rows[n-1].Sort
	}
}

// joinRange joins the parts of a range, but for the rows behind the cut, and says what is left of it.
func joinRange[T any](f *Fetched, tab *Table[T], c *rangeCut, q RangeRequest) (out RangeResult[T],
	err error) {
	out.Rest = q
	defer f.Close()
	for i := range f.replies {
		v := f.replies[i].Value
		v.Rows = slices.DeleteFunc(v.Rows, func(r Row) bool { return c.cut && c.behind(r.Sort, c.edge) })
		if err := f.joinAll(v.Rows); err != nil {
			return out, err
		}
	}
	if out.Sorts, out.Rows, err = JoinedAll(f, tab); err != nil {
		return out, err
	}
	if q.Reverse {
		slices.Reverse(out.Sorts)
		slices.Reverse(out.Rows)
	}
	if out.Whole = !c.cut; c.cut && q.Reverse {
		out.Rest.End = c.edge
	} else if c.cut {
		out.Rest.Start = append(bytes.Clone(c.edge), 0)
	}
	return out, nil
}

// ended is a round that asks nobody.
func ended(t *Tables) *quorum.Round[*fetchResponse] {
	return quorum.Start(t.env.Background(), t.quorum, nil, 0,
		func(context.Context, rt.NodeID) (*fetchResponse, error) { return nil, nil })
}

// Behind returns the first sort key behind every one that begins with prefix, nil if there is none.
func Behind(prefix []byte) []byte { return appendSuccessor(nil, prefix) }
