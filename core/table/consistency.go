package table

import (
	"context"
	"errors"
	"fmt"

	"granary/core/hlc"
	"granary/core/quorum"
	"granary/core/rt"
)

// Consistency is what a request promises of the rows that it reads.
type Consistency uint8

// The levels of consistency, and what each costs.
const (
	// ReadAfterWrite: a read returns the newest write that was acknowledged before it began, or one that was
	// not. One round. A write that is not acknowledged yet may be seen by one read and missed by the next.
	ReadAfterWrite Consistency = iota
	// Monotonic: what a read returned, no later read goes back behind, whoever reads, as long as all reads
	// and writes of the row are of this level: each row is one linearizable register. One round while
	// replicas agree; what they do not agree on is brought to a write quorum before it is returned, which
	// takes another.
	Monotonic
	// Eventual: what the nearest replica has, whatever others know. No round trip beyond it.
	Eventual
)

var consistencyNames = [...]string{"read-after-write", "monotonic", "eventual"}

// String returns the name that ParseConsistency reads.
func (c Consistency) String() string {
	if int(c) < len(consistencyNames) {
		return consistencyNames[c]
	}
	return fmt.Sprintf("consistency %d of a later version", c)
}

// ErrBadConsistency is the kind of a name that no level has.
var ErrBadConsistency = errors.New("unknown consistency")

// ParseConsistency reads the name of a level.
//
// Errors: ErrBadConsistency, naming the levels.
func ParseConsistency(name string) (Consistency, error) {
	for c, n := range consistencyNames {
		if n == name {
			return Consistency(c), nil
		}
	}
	return 0, fmt.Errorf("%w %.40q: want read-after-write, monotonic or eventual", ErrBadConsistency, name)
}

type consistencyKey struct{}

// WithConsistency returns a context whose reads and writes of rows are of level c: it belongs to the request,
// and whatever works for the request is to keep its promise. Full-copy tables have no levels.
func WithConsistency(ctx context.Context, c Consistency) context.Context {
	return context.WithValue(ctx, consistencyKey{}, c)
}

// ConsistencyOf returns the level of a context, ReadAfterWrite if none was set.
func ConsistencyOf(ctx context.Context) Consistency {
	c, _ := ctx.Value(consistencyKey{}).(Consistency)
	return c
}

// fetchHeld reads again until a write quorum of every live set holds what was read, at first f: then it is
// never stamped anew, and no later read misses it.
// Source: DESIGN.md, "Monotonic reads".
func (t *Tables) fetchHeld(ctx context.Context, f *Fetched, again func() (*Fetched, error)) (*Fetched,
	error) {
	ctx, cancel := t.env.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	for {
		held, err := f.hold(ctx)
		if held {
			return f, nil
		}
		f.round.Close()
		if err != nil {
			return nil, err
		}
		t.env.Sometimes("monotonic read met a newer write", true)
		if f, err = again(); err != nil {
			return nil, err
		}
	}
}

// hold writes the join back to the replicas that are not known to have it. held is false, without an error,
// if one of them knows something newer, a row or a layout.
func (f *Fetched) hold(ctx context.Context) (held bool, err error) {
	t := f.tables
	voted, newest, err := f.heads()
	if err != nil {
		return false, err
	}
	tally, rest, err := f.holders(voted)
	if err != nil {
		return false, err
	}
	if tally.Verdict(false) == quorum.Acked || t.env.Mutant("monotonic: no write-back") {
		return true, nil
	}
	t.env.Sometimes("monotonic read wrote back", true)
	t.env.Count("table_writebacks_total", 1)
	if f.prune != nil {
		f.prune(f)
	}
	req := &writeRequest{PK: f.pk, Items: [][]Row{f.batch(f.ordered())}, Over: newest, Back: true,
		Plan: f.view.Plan()}
	round := quorum.Start(t.env.Background(), t.quorum, t.topology.Nearest(rest), 0,
		func(ctx context.Context, to rt.NodeID) (*writeResponse, error) {
			ctx, cancel := t.env.WithTimeout(ctx, WriteTimeout)
			defer cancel()
			return methodWrite.Call(ctx, t.endpoint, to, req)
		})
	defer round.Detach(req.size())
	for {
		switch tally.Verdict(true) {
		case quorum.Acked:
			return true, nil
		case quorum.Restamp:
			return false, nil
		case quorum.Exhausted:
			if quorum.Learn(ctx, t.topology, tally.Failures()) {
				return false, nil
			}
			return false, tally.Missed(f.subject, t.topology.Describe, false)
		}
		reply, err := round.Next(ctx, 0)
		if err != nil {
			return false, tally.Missed(f.subject, t.topology.Describe, false)
		}
		tally.Add(reply.Node, answerOf(reply, 0))
	}
}

// heads reports whether there is a voted row in the join, and the newest stamp of one.
func (f *Fetched) heads() (voted bool, newest hlc.Stamp, err error) {
	for _, row := range f.ordered() {
		s, err := f.tables.registry.schema(row.Table)
		if err != nil {
			return false, 0, err
		}
		if !s.voted() {
			continue
		}
		head, err := s.head(row.Value)
		if err != nil {
			return false, 0, err
		}
		voted, newest = true, max(newest, head.Stamp)
	}
	return voted, newest, nil
}

// holders counts the replicas that answered with all of the join, and returns those that did not.
func (f *Fetched) holders(voted bool) (*quorum.Tally, []rt.NodeID, error) {
	tally := quorum.NewTally(f.view, voted)
	holds := map[rt.NodeID]bool{}
	for _, reply := range f.replies {
		all, err := f.heldBy(reply.Value.Rows)
		if err != nil {
			return nil, nil, err
		}
		if all {
			holds[reply.Node] = true
			tally.Add(reply.Node, quorum.Answer{Vote: quorum.Clean})
		}
	}
	var rest []rt.NodeID
	for _, node := range f.view.Targets() {
		if !holds[node] {
			rest = append(rest, node)
		}
	}
	return tally, rest, nil
}

// heldBy reports whether a replica with these rows holds the join. Of a voted row the head counts, which was
// clean there since it is still the newest; the rest of it follows in its own time: a row in which nothing
// won yet is held where there is none. Rows that depend on others count through them.
func (f *Fetched) heldBy(have []Row) (bool, error) {
	values := map[rowKey][]byte{}
	for _, row := range have {
		values[rowKey{row.Table, string(row.Sort)}] = row.Value
	}
	for _, row := range f.ordered() {
		s, err := f.tables.registry.schema(row.Table)
		if err != nil {
			return false, err
		}
		value, ok := values[rowKey{row.Table, string(row.Sort)}]
		switch {
		case s.derived():
			continue
		case !s.voted():
			ok = ok && string(value) == string(row.Value)
		default:
			var a, b Head
			if ok {
				a, err = s.head(value)
			}
			if err == nil {
				b, err = s.head(row.Value)
			}
			if err != nil {
				return false, err
			}
			ok = a == b
		}
		if !ok {
			return false, nil
		}
	}
	return true, nil
}
