package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/cluster"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rt"
)

// ListMax is the most items of one page.
const ListMax = 1000

// ErrBadResume is the kind of a malformed continuation of a listing.
var ErrBadResume = errors.New("malformed resume point")

// ListRequest asks for a page of the rows of one partition key.
type ListRequest struct {
	Subject string // names the listing in errors
	PK      []byte
	// Prefix is what the sort keys begin with; empty: any.
	Prefix []byte
	// Delimiter folds the rows whose sort keys have it behind Prefix, inside the part that Def.Foldable
	// names, into one item: the prefix up to and with the first delimiter. Empty folds nothing.
	Delimiter []byte
	// End bounds the sort keys from above, exclusively; nil: no bound.
	End []byte
	// From is where the page begins: Next of the page before, AfterKey, AfterPrefix, or zero for the
	// beginning. What follows AfterKey inside a group is folded into the group's prefix.
	From Resume
	// Max bounds the items, rows and prefixes together; 0, and what exceeds it, means ListMax.
	Max int
}

// ListItem is a row, or the prefix of a group of rows.
type ListItem[T any] struct {
	Sort   []byte // the row's sort key, or the prefix
	Prefix bool
	Value  T // the row as Def.Project left it; zero for a prefix
}

// ListResult is a page. Items are in ascending order of Sort, rows and prefixes mixed.
type ListResult[T any] struct {
	Items []ListItem[T]
	// More says that there may be items behind these; Next is then where they begin.
	More bool
	Next Resume
	// Rounds is how many quorum rounds the page took.
	Rounds int
	// Diverged are sort keys of rows in the page's range, shown or not, that the replicas which answered did
	// not have alike, at most a few hundred: a Fetch of one repairs it.
	Diverged [][]byte
}

// CutDiverged ends the page before the first item that a row in Diverged is, or belongs to, and reports
// whether anything is left.
func (r *ListResult[T]) CutDiverged() bool {
	k := slices.MinFunc(r.Diverged, bytes.Compare)
	n := slices.IndexFunc(r.Items, func(it ListItem[T]) bool {
		return bytes.Compare(it.Sort, k) >= 0 || it.Prefix && bytes.HasPrefix(k, it.Sort)
	})
	if n < 0 {
		n = len(r.Items)
	}
	if n == 0 {
		return false
	}
	r.Items, r.More, r.Diverged = r.Items[:n], true, nil
	if last := r.Items[n-1]; last.Prefix {
		r.Next = AfterPrefix(last.Sort)
	} else {
		r.Next = AfterKey(last.Sort)
	}
	return true
}

// ListRows returns a page of the live rows of a partition key, in order, from the join of a read quorum. A
// page with More has at least one item, but may have fewer than Max.
//
// Every row that was acknowledged before the call, and not replaced since, is seen; the page is no snapshot.
// Sort keys and values keep the memory of the whole page alive.
// Errors: *quorum.Error, ErrMalformedRow.
// Cost: one round on converged replicas; another if a replica missed the deletion of a group's first live
// row, or if thousands of dead rows come before the first live one.
func ListRows[T any](ctx context.Context, t *Tables, tab *Table[T], q ListRequest) (ListResult[T], error) {
	return listRows(ctx, t, tab, q, false)
}

// ScanRows is ListRows for every row of the range, whether Def.Live shows it or not and Def.Skip would pass
// it over, without folding. Rows are projected as for a listing.
func ScanRows[T any](ctx context.Context, t *Tables, tab *Table[T], q ListRequest) (ListResult[T], error) {
	q.Delimiter = nil
	return listRows(ctx, t, tab, q, true)
}

func listRows[T any](ctx context.Context, t *Tables, tab *Table[T], q ListRequest, all bool) (
	ListResult[T], error) {
	l := newListing(tab, q, all)
	l.witnessed = t.env.Mutant("listing trusts one witness")
	ctx, cancel := t.env.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	req := pageRequest{Table: tab.def.ID, PK: q.PK, All: all}
	for req.Asks = l.asks(); req.Asks != nil; req.Asks = l.asks() {
		asked := req
		answers, err := t.askPages(ctx, &asked, q.Subject)
		if err != nil {
			return ListResult[T]{}, err
		}
		if err := l.take(answers); err != nil {
			return ListResult[T]{}, err
		}
	}
	t.env.Sometimes("listing took a second round", l.rounds > 1)
	return pageOf(tab, l)
}

func newListing(s listSchema, q ListRequest, all bool) *listing {
	l := &listing{schema: s, lo: q.Prefix, hi: appendSuccessor(nil, q.Prefix), base: len(q.Prefix),
		delim: q.Delimiter, all: all, max: q.Max, dead: pageDeadMax}
	if q.End != nil && (l.hi == nil || string(q.End) < string(l.hi)) {
		l.hi = q.End
	}
	if l.max <= 0 || l.max > ListMax {
		l.max = ListMax
	}
	l.begin(q.From)
	return l
}

// pageOf decodes the rows of a finished listing, once each.
func pageOf[T any](tab *Table[T], l *listing) (page ListResult[T], err error) {
	page = ListResult[T]{More: l.more, Rounds: l.rounds, Diverged: l.diverged}
	page.Items = make([]ListItem[T], len(l.items))
	for i, it := range l.items {
		item := &page.Items[i]
		item.Sort, item.Prefix = it.sort, it.group
		if !it.group {
			if item.Value, err = tab.Decode(it.row); err != nil {
				return ListResult[T]{}, err
			}
		}
	}
	if page.More {
		page.Next = l.next
	}
	return page, nil
}

// askPages sends req to the replicas of the read set and returns what the first R of them answer, unpacked.
// For a monotonic listing it is W, so that what they have alike is held; for an eventual one the nearest.
func (t *Tables) askPages(ctx context.Context, req *pageRequest, subject string) (answers [][]answer,
	err error) {
	view := func() (cluster.View, error) { return t.topology.View(layout.PrefixOf(req.PK)) }
	err = t.planned(ctx, view, func(v cluster.View) (fails []quorum.Failure, err error) {
		req.Plan = v.Plan()
		answers, fails, err = t.askPagesOf(ctx, v, *req, subject)
		return fails, err
	})
	return answers, err
}

func (t *Tables) askPagesOf(ctx context.Context, view cluster.View, req pageRequest, subject string) (
	answers [][]answer, fails []quorum.Failure, err error) {
	set, nodes := view.ReadSet(), t.topology.Nearest(view.ReadSet().Nodes)
	need, first, patience := set.Read, 0, time.Duration(0)
	switch ConsistencyOf(ctx) {
	case Monotonic:
		need = max(set.Read, set.Write)
	case Eventual:
		need, first, patience = 1, 1, t.topology.Patience(nodes)
	}
	round := quorum.Start(t.env.Background(), t.quorum, nodes, first,
		func(ctx context.Context, to rt.NodeID) (*pageResponse, error) {
			ctx, cancel := t.env.WithTimeout(ctx, ReadTimeout)
			defer cancel()
			return methodPage.Call(ctx, t.endpoint, to, &req)
		})
	missed := &quorum.Error{Op: "list", Subject: subject, Need: need, Of: len(set.Nodes)}
	defer func() {
		if err != nil {
			round.Close()
			t.quorum.Missed("list")
		}
	}()
	size := 0
	for len(answers) < need {
		reply, err := round.NextOf(ctx, patience)
		if err != nil {
			missed.Causes = append(missed.Causes, quorum.Cause{Node: "this node", Err: err})
			return nil, fails, missed
		}
		var got []answer
		if err = reply.Err; err == nil {
			got, err = reply.Value.open(req.Asks)
		}
		if err == nil {
			for i := range got {
				got[i].table = req.Table
			}
			answers = append(answers, got)
			size = max(size, reply.Value.size())
			missed.Got++
			continue
		}
		fails = append(fails, quorum.Failure{Node: reply.Node, Err: err})
		missed.Causes = append(missed.Causes, quorum.Cause{Node: t.topology.Describe(reply.Node), Err: err})
		if len(answers)+round.Left() < need {
			return nil, fails, missed
		}
	}
	round.Detach(int64(size)) // to cancel the rest would send one more packet ahead of whatever is asked next
	return answers, nil, nil
}

// size is about how many bytes the answers take.
func (r *pageResponse) size() (n int) {
	for i := range r.Answers {
		n += len(r.Answers[i].Rows)
	}
	return n
}

// open unpacks the answers to asks. The first must have come to something.
func (r *pageResponse) open(asks []pageAsk) ([]answer, error) {
	if len(r.Answers) != len(asks) {
		return nil, fmt.Errorf("%d answers to %d ranges: %w", len(r.Answers), len(asks), ErrMalformedRow)
	}
	if a := &r.Answers[0]; !a.Whole && a.End == nil && a.Count == 0 {
		return nil, fmt.Errorf("nothing examined: %w", ErrMalformedRow)
	}
	answers := make([]answer, len(asks))
	for i := range asks {
		a, err := r.Answers[i].open(asks[i])
		if err != nil {
			return nil, err
		}
		answers[i], answers[i].absent = a, r.Absent
	}
	return answers, nil
}
