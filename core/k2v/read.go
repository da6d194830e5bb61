package k2v

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"granary/core/bucket"
	"granary/core/codec"
	"granary/core/crdt"
	"granary/core/rt"
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

// budget bounds the answers to a batch.
type budget struct {
	lock rt.Locker
	left int
}

func (b *budget) take(n int) bool {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.left -= n
	return b.left >= 0
}

// searchesAtOnce is how many searches of a batch run side by side.
const searchesAtOnce = 64

// each calls f for 0 to n-1, some side by side, and joins their errors.
func (s *Store) each(n int, f func(i int) error) error {
	errs := make([]error, n)
	next, lock := 0, s.env.NewLock()
	g := rt.NewGroup(s.env, s.env.Background())
	for range min(n, searchesAtOnce) {
		g.Go("k2v batch", func(context.Context) error {
			for {
				lock.Lock()
				i := next
				next++
				lock.Unlock()
				if i >= n {
					return nil
				}
				errs[i] = f(i)
			}
		})
	}
	return errors.Join(g.Wait(), errors.Join(errs...))
}

// ReadBatch makes several searches, side by side.
//
// Errors: ErrInvalid, *quorum.Error; of the whole batch. Cost: one round for each page of 2 MiB.
func (s *Store) ReadBatch(ctx context.Context, b bucket.BucketID, searches []Search) ([]Found, error) {
	if len(searches) > BatchMax {
		return nil, invalid("%d searches; at most %d", len(searches), BatchMax)
	}
	found := make([]Found, len(searches))
	left := &budget{lock: s.env.NewLock(), left: AnswerMax}
	err := s.each(len(searches), func(i int) (err error) {
		found[i], err = s.search(ctx, b, searches[i], left)
		return err
	})
	return found, err
}

func (q Search) wants(i Item) bool {
	return (q.Tombstones || i.Live()) && (!q.ConflictsOnly || len(i.Values) > 1) && len(i.Values) > 0
}

func (s *Store) search(ctx context.Context, b bucket.BucketID, q Search, left *budget) (out Found,
	err error) {
	if err := CheckKey("partitionKey", q.PK); err != nil {
		return out, err
	}
	if q.Single {
		item, err := s.Read(ctx, Key{b, q.PK, q.Start})
		if err == nil && q.wants(item) {
			out.Items = []Item{item}
		}
		if errors.Is(err, ErrNoSuchItem) {
			err = nil
		}
		return out, err
	}
	err = walk(ctx, s, s.rows.items, itemPK(b, q.PK), fmt.Sprintf("items of partition %.80q", q.PK), q.Range,
		func(sk []byte, row itemRow) (bool, error) {
			item, size := itemOf(sk, row.State), 0
			if !q.wants(item) {
				return true, nil
			}
			for _, v := range item.Values {
				size += len(v.Bytes)
			}
			fits := left.take(size)
			if n := len(out.Items); n >= q.limit() || n > 0 && !fits {
				out.More, out.Next = true, string(sk)
				return false, nil
			}
			out.Items = append(out.Items, item)
			return true, nil
		})
	return out, err
}

// DeleteBatch deletes what searches find, with the contexts in which it was found: what is written meanwhile
// survives. It returns how many items each deleted.
//
// Errors: those of ReadBatch and InsertBatch. A part of the deletions may have happened then.
func (s *Store) DeleteBatch(ctx context.Context, b bucket.BucketID, searches []Search) ([]int, error) {
	if len(searches) > BatchMax {
		return nil, invalid("%d searches; at most %d", len(searches), BatchMax)
	}
	deleted := make([]int, len(searches))
	err := s.each(len(searches), func(i int) error {
		q := searches[i]
		for {
			left := &budget{lock: s.env.NewLock(), left: AnswerMax}
			found, err := s.search(ctx, b, q, left)
			if err != nil || len(found.Items) == 0 {
				return err
			}
			var writes []Write
			for _, item := range found.Items {
				writes = append(writes, Write{Key: Key{b, q.PK, item.SortKey}, Seen: item.Context,
					Value: Value{Deleted: true}})
			}
			if err := s.InsertBatch(ctx, writes); err != nil {
				return err
			}
			deleted[i] += len(writes)
			if !found.More {
				return nil
			}
			q.Start = found.Next
		}
	})
	if err != nil && slices.Max(deleted) > 0 {
		err = partly("deletions of a batch", err)
	}
	return deleted, err
}

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
