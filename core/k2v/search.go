package k2v

import (
	"context"
	"fmt"

	"granary/core/bucket"
	"granary/core/table"
)

// Search asks for items of one partition key.
type Search struct {
	PK string
	Range
	// Single asks for the item Start alone.
	Single        bool
	ConflictsOnly bool // only items with more than one value
	Tombstones    bool // items that are deleted too
}

// Found is what a search found, in order. More says that there are more; Next is the first one.
type Found struct {
	Items []Item
	More  bool
	Next  string
}

func (q Search) wants(i Item) bool {
	return (q.Tombstones || i.Live()) && (!q.ConflictsOnly || len(i.Values) > 1) && len(i.Values) > 0
}

// check says what is wrong with a search.
func (q Search) check() error {
	if err := CheckKey("partitionKey", q.PK); err != nil {
		return err
	}
	if q.Single {
		return CheckKey("start", q.Start)
	}
	return q.Range.Check()
}

// rows is the search as a range of rows; ok is false if it is empty.
func (q Search) rows(b bucket.BucketID) (r table.RangeRequest, ok bool) {
	r = table.RangeRequest{Subject: fmt.Sprintf("items of partition %.80q", q.PK), PK: itemPK(b, q.PK),
		Reverse: q.Reverse, Max: q.limit() + 1}
	if q.Single {
		r.Start, r.End, r.Max, r.Reverse = []byte(q.Start), append([]byte(q.Start), 0), 1, false
		return r, true
	}
	r.Start, r.End = q.bounds()
	return r, r.End == nil || string(r.Start) < string(r.End)
}

// searching is a search that is not done.
type searching struct {
	Search
	rest table.RangeRequest
	out  *Found
}

// itemOverhead is about what an item takes in an answer besides its key, token and values.
const itemOverhead = 64

// take adds what was found, as far as it goes: up to the limit, and behind the first item up to what is left
// of the bytes of all answers. It reports whether that is all.
func (q *searching) take(part table.RangeResult[itemRow], left *int) (done bool) {
	for i, sk := range part.Sorts {
		item := itemOf(sk, part.Rows[i].State)
		if !q.wants(item) {
			continue
		}
		size := itemOverhead + len(sk) + 16*len(item.Context)
		for _, v := range item.Values {
			size += len(v.Bytes)
		}
		*left -= size
		if n := len(q.out.Items); n >= q.limit() || n > 0 && *left < 0 {
			q.out.More, q.out.Next = true, string(sk)
			return true
		}
		q.out.Items = append(q.out.Items, item)
	}
	q.rest = part.Rest
	return part.Whole
}

// ReadBatch makes several searches, side by side.
//
// Errors: ErrInvalid, *quorum.Error; of the whole batch. Cost: one round for every 2 MiB of rows that were
// looked at, with one message to each replica for all searches of its replica set.
func (s *Store) ReadBatch(ctx context.Context, b bucket.BucketID, searches []Search) ([]Found, error) {
	if len(searches) > BatchMax {
		return nil, invalid("%d searches; at most %d", len(searches), BatchMax)
	}
	found, left := make([]Found, len(searches)), AnswerMax
	var open []*searching
	for i, q := range searches {
		if err := q.check(); err != nil {
			return nil, err
		}
		if rows, ok := q.rows(b); ok {
			open = append(open, &searching{Search: q, rest: rows, out: &found[i]})
		}
	}
	for len(open) > 0 {
		asks := make([]table.RangeRequest, len(open))
		for i, q := range open {
			asks[i] = q.rest
		}
		parts, err := table.Ranges(ctx, s.tables, s.rows.items, asks)
		if err != nil {
			return nil, err
		}
		var rest []*searching
		for i, q := range open {
			if !q.take(parts[i], &left) {
				rest = append(rest, q)
			}
		}
		if open = rest; left < AnswerMax-AnswerLimit {
			return nil, invalid("searches: they find more than %d bytes; make fewer at a time", AnswerLimit)
		}
	}
	return found, nil
}

// DeleteBatch deletes what searches find, with the contexts in which it was found: what is written meanwhile
// survives. It returns how many items each deleted.
//
// Errors: those of ReadBatch and InsertBatch. A part of the deletions may have happened then.
func (s *Store) DeleteBatch(ctx context.Context, b bucket.BucketID, searches []Search) ([]int, error) {
	deleted := make([]int, len(searches))
	wrote := false
	index := make([]int, len(searches))
	for i := range index {
		index[i] = i
	}
	for open := searches; len(open) > 0; {
		found, err := s.ReadBatch(ctx, b, open)
		var writes []Write
		for i, f := range found {
			for _, item := range f.Items {
				writes = append(writes, Write{Key: Key{b, open[i].PK, item.SortKey}, Seen: item.Context,
					Value: Value{Deleted: true}})
			}
		}
		for len(writes) > 0 && err == nil {
			n := min(len(writes), BatchMax)
			wrote, err = true, s.InsertBatch(ctx, writes[:n])
			writes = writes[n:]
		}
		if err != nil {
			if wrote {
				err = partly("deletions of a batch", err)
			}
			return deleted, err
		}
		var rest []Search
		var at []int
		for i, f := range found {
			if deleted[index[i]] += len(f.Items); f.More {
				q := open[i]
				q.Start = f.Next
				rest, at = append(rest, q), append(at, index[i])
			}
		}
		open, index = rest, at
	}
	return deleted, nil
}
