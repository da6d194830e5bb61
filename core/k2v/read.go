package k2v

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"granary/core/codec"
	"granary/core/crdt"
	"granary/core/table"
)

// Range asks for keys of an order. Zero asks for all, upwards.
type Range struct {
	Prefix string
	Start  string // inclusive, where the walk begins; empty: at the end of the prefix that Reverse says
	End    string // exclusive, where it ends; empty: at the other end of the prefix
	Limit  int    // 0: PageMax
	// Reverse walks downwards, from Start to End.
	Reverse bool
}

func (r Range) limit() int {
	if r.Limit <= 0 {
		return PageMax
	}
	return min(r.Limit, PageMax)
}

// Check says what is wrong with a range.
func (r Range) Check() error {
	for _, f := range []struct{ name, value string }{{"prefix", r.Prefix}, {"start", r.Start},
		{"end", r.End}} {
		if f.value != "" {
			if err := CheckKey(f.name, f.value); err != nil {
				return err
			}
		}
	}
	if r.Start != "" && !strings.HasPrefix(r.Start, r.Prefix) {
		return invalid("start: %.80q does not begin with the prefix %.80q", r.Start, r.Prefix)
	}
	if r.Limit < 0 {
		return invalid("limit: %d; want 1 to %d", r.Limit, PageMax)
	}
	return nil
}

// bounds returns the range as [start, end) of sort keys; end nil for no bound.
func (r Range) bounds() (start, end []byte) {
	start, end = []byte(r.Prefix), table.Behind([]byte(r.Prefix))
	switch {
	case !r.Reverse && r.Start != "":
		start = []byte(r.Start)
	case r.Reverse && r.Start != "":
		end = append([]byte(r.Start), 0)
	}
	switch {
	case r.End == "":
	case !r.Reverse && (end == nil || r.End < string(end)):
		end = []byte(r.End)
	case r.Reverse && r.End+"\x00" > string(start):
		start = append([]byte(r.End), 0)
	}
	return start, end
}

// holds reports whether a sort key lies in the range.
func (r Range) holds(sk string) bool {
	start, end := r.bounds()
	return sk >= string(start) && (end == nil || sk < string(end))
}

// walk calls f for the rows of a range in order, until it returns false.
func walk[T any](ctx context.Context, s *Store, t *table.Table[T], pk []byte, subject string, r Range,
	f func(sort []byte, row T) (bool, error)) error {
	if err := r.Check(); err != nil {
		return err
	}
	q := table.RangeRequest{Subject: subject, PK: pk, Reverse: r.Reverse, Max: r.limit() + 1}
	if q.Start, q.End = r.bounds(); q.End != nil && string(q.Start) >= string(q.End) {
		return nil
	}
	for {
		part, err := table.RangeRows(ctx, s.tables, t, q)
		if err != nil {
			return err
		}
		for i, sort := range part.Sorts {
			if more, err := f(sort, part.Rows[i]); err != nil || !more {
				return err
			}
		}
		if part.Whole {
			return nil
		}
		q = part.Rest
	}
}

// Read returns an item from the join of a read quorum.
//
// Errors: ErrNoSuchItem, ErrInvalid, *quorum.Error. Cost: one round.
func (s *Store) Read(ctx context.Context, k Key) (Item, error) {
	if err := errors.Join(CheckKey("partition key", k.PK), CheckKey("sort key", k.SK)); err != nil {
		return Item{}, err
	}
	f, err := s.tables.Fetch(ctx, fetchItem, itemPK(k.Bucket, k.PK), []byte(k.SK), k.String())
	if err != nil {
		return Item{}, err
	}
	defer f.Close()
	row, ok, err := table.Joined(f, s.rows.items, []byte(k.SK))
	if err != nil {
		return Item{}, err
	}
	if !ok {
		return Item{}, fmt.Errorf("%v: %w", k, ErrNoSuchItem)
	}
	return itemOf([]byte(k.SK), row.State), nil
}

// fetchItem names the read of one item.
const fetchItem = "k2v item"

// readers registers the reads of single items.
func (s *Store) readers() {
	s.tables.RegisterFetch(fetchItem, func(r *table.Reader, sk []byte) ([]table.Row, error) {
		row, ok, err := s.rows.items.GetRow(r, sk)
		if !ok || err != nil {
			return nil, err
		}
		return []table.Row{row}, nil
	})
}

// stateOf decodes the state in an item's row.
func stateOf(row table.Row) (crdt.DVVS, error) {
	var r itemRow
	err := codec.Unmarshal(row.Value, &r)
	return r.State, err
}
