package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"granary/core/cluster"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
)

// Limits of reading.
const (
	// ReadTimeout is the deadline of a read whose context has none.
	ReadTimeout = 10 * time.Second
	// stragglerTime is how long after a read its late replies are still compared.
	stragglerTime = 5 * time.Second
	// comparesMax bounds the reads whose late replies are being waited for.
	comparesMax = 1024
)

// Fetcher reads what a Fetch of its name wants from a replica's rows: a row and those that depend on it, all
// of one partition key. It runs inside a read transaction and must be pure.
type Fetcher func(r *Reader, args []byte) ([]Row, error)

type fetchRequest struct {
	Name string       `cbor:"1,keyasint"`
	PK   []byte       `cbor:"2,keyasint"`
	Args []byte       `cbor:"3,keyasint,omitempty"`
	Plan cluster.Plan `cbor:"4,keyasint,omitzero"`
}

type fetchResponse struct {
	Rows []Row `cbor:"1,keyasint,omitempty"`
	// Absent says what is gone, if no row that has an age is there.
	Absent absence `cbor:"2,keyasint,omitzero"`
}

var methodFetch = rpc.NewMethod[fetchRequest, fetchResponse]("table.fetch", rpc.Meta)

// RegisterFetch names a Fetcher; before the node starts.
func (t *Tables) RegisterFetch(name string, f Fetcher) { t.fetchers[name] = f }

// PruneFetch names a function that removes, by Prune, from the joined rows of a Fetch what belongs to replies
// older than the join, before replicas are sent what they lack; before the node starts.
func (t *Tables) PruneFetch(name string, f func(*Fetched)) { t.pruners[name] = f }

// Prune removes the joined rows of a table that keep does not want.
func Prune[T any](f *Fetched, t *Table[T], keep func(sort []byte) bool) {
	for key, row := range f.rows { //det:ok every row is judged by itself
		if key.table == t.def.ID && !keep(row.Sort) {
			delete(f.rows, key)
		}
	}
}

func (t *Tables) handleFetch(_ context.Context, _ rt.NodeID, req *fetchRequest) (*fetchResponse, error) {
	f := t.fetchers[req.Name]
	if f == nil {
		return nil, fmt.Errorf("fetch %q: unknown", req.Name)
	}
	resp := &fetchResponse{}
	err := t.store.View(func(r kv.Reader) (err error) {
		if err := cluster.AdmitRead(t.env, r, req.Plan); err != nil {
			return err
		}
		rows, err := f(newReader(r, req.PK), req.Args)
		resp.Rows = cloneRows(rows)
		if err == nil {
			resp.Absent, err = t.absent(r, req.PK, rows)
		}
		return err
	})
	if errors.Is(err, ErrUnreadable) && t.env.Mutant("table: an unreadable row is absent") {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// cloneRows copies rows out of a transaction's memory.
func cloneRows(rows []Row) []Row {
	for i := range rows {
		rows[i].Sort, rows[i].Value = bytes.Clone(rows[i].Sort), bytes.Clone(rows[i].Value)
	}
	return rows
}

// Fetched is the joined result of a quorum read. It belongs to one task. Close it.
type Fetched struct {
	tables  *Tables
	round   *quorum.Round[*fetchResponse]
	view    cluster.View
	wants   layout.Set // whose write quorum of replies makes the answer
	pk      []byte
	subject string
	prune   func(*Fetched)
	replies []quorum.Reply[*fetchResponse]
	rows    map[rowKey]Row
	failed  []quorum.Failure
	closed  bool
	// patience is how long to wait before another replica is asked; 0 if all were.
	patience time.Duration
}

type rowKey struct {
	table ID
	sort  string
}

// Fetch asks all replicas of pk's read set for what the named Fetcher returns there, and joins the first R
// replies, or as many as the consistency of ctx wants. subject names the read in errors.
//
// Errors: *quorum.Error.
// Cost: 1 round. Monotonic: another when replicas disagree. Eventual: the way to the nearest replica.
func (t *Tables) Fetch(ctx context.Context, name string, pk, args []byte, subject string) (*Fetched, error) {
	level := ConsistencyOf(ctx)
	view := func() (cluster.View, error) { return t.view(pk) }
	read := func() (*Fetched, error) {
		return t.fetch(ctx, view, level == Eventual, fetchRequest{Name: name, PK: pk, Args: args}, subject)
	}
	f, err := read()
	if err != nil || level != Monotonic {
		return f, err
	}
	return t.fetchHeld(ctx, f, read)
}

// FetchFull is Fetch over a read quorum of the voters of the full-copy tables.
func (t *Tables) FetchFull(ctx context.Context, name string, args []byte, subject string) (*Fetched, error) {
	return t.fetch(ctx, t.topology.FullView, false, fetchRequest{Name: name, PK: fullPK, Args: args}, subject)
}

// fetch asks the read set, and another one if it is told that the set is out of date.
func (t *Tables) fetch(ctx context.Context, view func() (cluster.View, error), any bool, req fetchRequest,
	subject string) (f *Fetched, err error) {
	err = t.planned(ctx, view, func(v cluster.View) (fails []quorum.Failure, err error) {
		asked, wants := req, v.ReadSet().Reading()
		asked.Plan = v.Plan()
		if any {
			wants.Write, wants.Zones = 1, nil
		}
		f, fails, err = t.fetchOf(ctx, v, wants, &asked, subject)
		return fails, err
	})
	return f, err
}

// planned is quorum.Planned for this node.
func (t *Tables) planned(ctx context.Context, view func() (cluster.View, error),
	attempt func(cluster.View) ([]quorum.Failure, error)) error {
	return quorum.Planned(ctx, t.env, t.topology, view, attempt)
}

// fetchOf joins the first replies that are a write quorum of wants. All replicas are asked at once, except
// for a single reply: then the nearest, and the next ones when it fails or is silent for longer than usual.
func (t *Tables) fetchOf(ctx context.Context, view cluster.View, wants layout.Set, req *fetchRequest,
	subject string) (*Fetched, []quorum.Failure, error) {
	f := &Fetched{tables: t, view: view, wants: wants, pk: req.PK, subject: subject,
		prune: t.pruners[req.Name], rows: map[rowKey]Row{}}
	nodes, first := t.topology.Nearest(wants.Nodes), 0
	if wants.Zones == nil && wants.Write < view.ReadSet().Read {
		first = wants.Write
		f.patience = t.topology.Patience(nodes)
	}
	f.round = quorum.Start(t.env.Background(), t.quorum, nodes, first,
		func(ctx context.Context, to rt.NodeID) (*fetchResponse, error) {
			ctx, cancel := t.env.WithTimeout(ctx, ReadTimeout)
			defer cancel()
			return methodFetch.Call(ctx, t.endpoint, to, req)
		})
	rctx, cancel := t.env.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	for !wants.Writes(f.replied) {
		if err := f.next(rctx); err != nil {
			f.round.Close()
			return nil, f.failed, f.missed(err)
		}
	}
	return f, nil, nil
}

// next takes one more reply, good or bad.
func (f *Fetched) next(ctx context.Context) error {
	reply, err := f.round.NextOf(ctx, f.patience)
	if err != nil {
		return err
	}
	if reply.Err == nil {
		reply.Err = f.joinAll(reply.Value.Rows)
	}
	if reply.Err == nil {
		f.replies = append(f.replies, reply)
		return f.sink()
	}
	f.failed = append(f.failed, quorum.Failure{Node: reply.Node, Err: reply.Err})
	if !f.wants.Writes(f.mayReply) {
		return quorum.ErrAllAnswered
	}
	return nil
}

// sink takes out of the join what some reply knows to be gone: it lacks the row, and what is as old is gone
// there.
func (f *Fetched) sink() error {
	for i := range f.replies {
		reply := f.replies[i].Value
		if reply.Absent.Floor == 0 || f.tables.env.Mutant("floor: a missing row says nothing") {
			continue
		}
		for _, row := range f.ordered() { // none that has an age is in this reply
			s, err := f.tables.registry.schema(row.Table)
			if err != nil {
				return err
			}
			key := rowKey{row.Table, string(row.Sort)}
			switch above, left, err := s.above(row.Value, reply.Absent.floor(row.Table, row.Sort)); {
			case err != nil:
				return err
			case !left:
				delete(f.rows, key)
			default:
				row.Value = above
				f.rows[key] = row
			}
		}
	}
	return nil
}

// replied reports whether a node gave a good answer.
func (f *Fetched) replied(node rt.NodeID) bool {
	return slices.ContainsFunc(f.replies, func(r quorum.Reply[*fetchResponse]) bool { return r.Node == node })
}

// mayReply reports whether it did, or may yet.
func (f *Fetched) mayReply(node rt.NodeID) bool {
	return !slices.ContainsFunc(f.failed, func(q quorum.Failure) bool { return q.Node == node })
}

func (f *Fetched) joinAll(rows []Row) error {
	for _, row := range rows {
		if err := f.join(row); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fetched) join(row Row) error {
	key := rowKey{row.Table, string(row.Sort)}
	have, ok := f.rows[key]
	if !ok {
		f.rows[key] = row
		return nil
	}
	s, err := f.tables.registry.schema(row.Table)
	if err != nil {
		return err
	}
	if have.Value, err = s.join(have.Value, row.Value); err != nil {
		return err
	}
	f.rows[key] = have
	return nil
}

func (f *Fetched) missed(err error) error {
	f.tables.quorum.Missed("read")
	e := &quorum.Error{Op: "read", Subject: f.subject}
	e.Lack(f.wants, f.replied)
	heard := map[rt.NodeID]bool{}
	for _, reply := range f.replies {
		heard[reply.Node] = true
	}
	for _, fail := range f.failed {
		heard[fail.Node] = true
		e.Causes = append(e.Causes, quorum.Cause{Node: f.tables.topology.Describe(fail.Node), Err: fail.Err})
	}
	for _, node := range f.wants.Nodes {
		if !heard[node] {
			e.Causes = append(e.Causes, quorum.Cause{Node: f.tables.topology.Describe(node),
				Err: quorum.ErrSilent})
		}
	}
	if !errors.Is(err, quorum.ErrAllAnswered) {
		e.Causes = append(e.Causes, quorum.Cause{Node: "this node", Err: err})
	}
	return e
}

// Asked is the number of replicas that were asked.
func (f *Fetched) Asked() int { return len(f.view.ReadSet().Nodes) }

// More waits for one more good reply and joins it; false if there will be none.
func (f *Fetched) More(ctx context.Context) bool {
	for before := len(f.replies); len(f.replies) == before; {
		if f.closed || f.next(ctx) != nil {
			return false
		}
	}
	return true
}

// Joined decodes the joined row of a table at sort; ok is false if no replica had one.
func Joined[T any](f *Fetched, t *Table[T], sort []byte) (v T, ok bool, err error) {
	row, ok := f.rows[rowKey{t.def.ID, string(sort)}]
	if !ok {
		return v, false, nil
	}
	v, err = t.Decode(row.Value)
	return v, err == nil, err
}

// JoinedAll decodes all joined rows of a table, ordered by sort key.
func JoinedAll[T any](f *Fetched, t *Table[T]) (sorts [][]byte, values []T, err error) {
	for _, row := range f.ordered() {
		if row.Table != t.def.ID {
			continue
		}
		v, err := t.Decode(row.Value)
		if err != nil {
			return nil, nil, err
		}
		sorts, values = append(sorts, row.Sort), append(values, v)
	}
	return sorts, values, nil
}

func (f *Fetched) ordered() []Row {
	rows := make([]Row, 0, len(f.rows))
	for _, row := range f.rows {
		rows = append(rows, row)
	}
	sort.Slice(rows, func(i, j int) bool {
		a, b := rows[i], rows[j]
		return a.Table < b.Table || a.Table == b.Table && bytes.Compare(a.Sort, b.Sort) < 0
	})
	return rows
}

// Close ends the read. Replies still on their way are compared in the background, and replicas that lack
// something of the join are sent it.
func (f *Fetched) Close() {
	if f.closed {
		return
	}
	f.closed, f.patience = true, 0
	t := f.tables
	if f.round.Outstanding() == 0 && f.agree() {
		f.round.Close()
		return
	}
	if !t.compares.TryAcquire(1) {
		f.round.Close()
		return
	}
	t.group.Go("read repair", func(ctx context.Context) error {
		defer t.compares.Release(1)
		defer f.round.Close()
		ctx, cancel := t.env.WithTimeout(ctx, stragglerTime)
		defer cancel()
		for f.round.Outstanding() > 0 && f.next(ctx) == nil {
		}
		f.repair(ctx)
		return nil
	})
}

// agree reports whether all replies are the same.
func (f *Fetched) agree() bool {
	for i := range f.replies {
		if len(f.lacking(f.replies[i].Value.Rows)) > 0 {
			return false
		}
	}
	return true
}

// lacking returns the joined rows that a reply lacks or has an older state of.
func (f *Fetched) lacking(have []Row) []Row {
	same := 0
	for _, row := range have {
		if bytes.Equal(f.rows[rowKey{row.Table, string(row.Sort)}].Value, row.Value) {
			same++
		}
	}
	if same == len(f.rows) {
		return nil
	}
	got := map[rowKey][]byte{}
	for _, row := range have {
		got[rowKey{row.Table, string(row.Sort)}] = row.Value
	}
	var lacks []Row
	for _, row := range f.ordered() {
		if v, ok := got[rowKey{row.Table, string(row.Sort)}]; !ok || !bytes.Equal(v, row.Value) {
			lacks = append(lacks, row)
		}
	}
	return lacks
}

// batch completes rows that a replica lacks to a row batch: with the voted rows that they belong to, which
// come last, so that their hooks see the others.
func (f *Fetched) batch(lacks []Row) []Row {
	isVoted := func(row Row) bool {
		s, err := f.tables.registry.schema(row.Table)
		return err == nil && s.voted()
	}
	rows := make([]Row, 0, len(lacks)+1)
	for _, row := range lacks {
		if !isVoted(row) {
			rows = append(rows, row)
		}
	}
	for _, row := range f.ordered() {
		if isVoted(row) {
			rows = append(rows, row)
		}
	}
	return rows
}

// repair sends every replica that replied what it lacks, as one row batch.
func (f *Fetched) repair(ctx context.Context) {
	t := f.tables
	if f.prune != nil {
		f.prune(f)
	}
	for _, reply := range f.replies {
		rows := f.lacking(reply.Value.Rows)
		if len(rows) == 0 {
			continue
		}
		t.env.Sometimes("read repair", true)
		t.env.Count("table_repairs_total", 1)
		req := &writeRequest{PK: f.pk, Items: [][]Row{f.batch(rows)}, Merge: true,
			Plan: f.view.Plan()}
		if _, err := methodWrite.Call(ctx, t.endpoint, reply.Node, req); err != nil {
			t.env.Debug("read repair failed", "node", t.topology.Describe(reply.Node), "err", err)
		}
	}
}
