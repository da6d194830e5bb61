package k2v

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/crdt"
	"granary/core/hlc"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

// Write is one value on its way into an item.
type Write struct {
	Key
	// Seen is the context in which the client read what it replaces; nil for nothing.
	Seen  crdt.Context
	Value Value
}

// storeRequest asks a replica to write values, which all go to the same replicas.
type storeRequest struct {
	Writes []wireWrite `cbor:"1,keyasint"`
}

type wireWrite struct {
	Bucket  bucket.BucketID `cbor:"1,keyasint"`
	PK      string          `cbor:"2,keyasint"`
	SK      string          `cbor:"3,keyasint"`
	Seen    crdt.Context    `cbor:"4,keyasint,omitempty"`
	ID      crdt.WriteID    `cbor:"5,keyasint"`
	Deleted bool            `cbor:"6,keyasint,omitempty"`
	Bytes   []byte          `cbor:"7,keyasint,omitempty"`
}

func (w *wireWrite) key() Key { return Key{w.Bucket, w.PK, w.SK} }

func (w *wireWrite) size() int { return len(w.PK) + len(w.SK) + len(w.Bytes) + 16*len(w.Seen) + 64 }

type storeResponse struct {
	Written []written `cbor:"1,keyasint"` // per write
}

// written says what an item is after a write: Seen is its context, if Only the value of the write is left.
type written struct {
	Only bool         `cbor:"1,keyasint,omitempty"`
	Seen crdt.Context `cbor:"2,keyasint,omitempty"`
}

// mergeRequest brings items from the replica that wrote them.
type mergeRequest struct {
	Parts []mergePart  `cbor:"1,keyasint"`
	Plan  cluster.Plan `cbor:"2,keyasint,omitzero"`
}

type mergePart struct {
	PK   []byte       `cbor:"1,keyasint"`
	Rows []table.Row  `cbor:"2,keyasint"`
	plan cluster.Plan // that this node admitted its own writes to them with
}

// mergeResponse says that the items are stored.
type mergeResponse struct {
	// Syncing says that the replica does not know all that was acknowledged: gates that are shut, and
	// layouts, that it refused writes for before.
	Syncing bool `cbor:"1,keyasint,omitempty"`
}

var (
	methodStore = rpc.NewMethod[storeRequest, storeResponse]("k2v.store", rpc.Meta)
	methodMerge = rpc.NewMethod[mergeRequest, mergeResponse]("k2v.merge", rpc.Meta)
)

// errNoReplica is the answer of a node that does not store the partition.
var errNoReplica = rpc.RegisterError("k2v.no_replica", errors.New("not a replica of the partition"))

// chunkMax bounds the writes, and the rows, that go into one message, in bytes; a single longer one still
// goes.
const chunkMax = 3 << 20

// Insert writes one value. It returns the item's new context if the value is the only one in it, else nil:
// there are values that the client has not seen, and must read.
//
// Errors: ErrInvalid, ErrFull; *quorum.Error, after which the write may have happened unless it says
// otherwise.
// Cost: one round, and a way inside the zone if this node is no replica.
func (s *Store) Insert(ctx context.Context, w Write) (crdt.Context, error) {
	done, err := s.insert(ctx, []Write{w})
	if err != nil || !done[0].Only {
		return nil, err
	}
	return done[0].Seen, nil
}

// InsertBatch writes values. It is not atomic: on an error some may have been written, others not.
//
// Errors and cost: those of Insert; all replica sets side by side.
func (s *Store) InsertBatch(ctx context.Context, writes []Write) error {
	_, err := s.insert(ctx, writes)
	return err
}

func (s *Store) insert(ctx context.Context, writes []Write) ([]written, error) {
	if err := s.check(writes); err != nil {
		return nil, err
	}
	b := &batch{writes: make([]wireWrite, len(writes)), done: make([]written, len(writes))}
	all := make([]int, len(writes))
	for i, w := range writes {
		b.writes[i] = wireWrite{Bucket: w.Bucket, PK: w.PK, SK: w.SK, Seen: w.Seen,
			ID: crdt.WriteID(s.env.Secret(len(crdt.WriteID{}))), Deleted: w.Value.Deleted,
			Bytes: w.Value.Bytes}
		all[i] = i
	}
	ctx, cancel := s.env.WithTimeout(ctx, table.WriteTimeout)
	defer cancel()
	return b.done, s.deal(ctx, b, all, false)
}

// batch are writes, under ids that stay the same, and what became of them.
type batch struct {
	writes []wireWrite
	done   []written
}

// group are writes of a batch that go to the same replicas.
type group struct {
	*batch
	view  cluster.View
	index []int // of the writes
	size  int
}

// deal sends writes of a batch to their replicas; earlier says that they may have been written already.
func (s *Store) deal(ctx context.Context, b *batch, index []int, earlier bool) error {
	groups, err := s.groups(b, index)
	if err != nil {
		return err
	}
	err = rt.Each(ctx, s.env, "k2v batch", sideBySide, len(groups), func(ctx context.Context, i int) error {
		return s.send(ctx, groups[i], earlier)
	})
	if err != nil && len(groups) > 1 {
		err = partly("batch of items", err)
	}
	return err
}

// partly is the error of a batch of which other parts may have been written.
func partly(subject string, err error) error {
	return &quorum.Error{Op: "write", Subject: subject, Unknown: true,
		Causes: []quorum.Cause{{Node: "a part of it", Err: err}}}
}

// sideBySide is how many parts of a batch are under way at a time.
const sideBySide = 64

func (s *Store) check(writes []Write) error {
	if len(writes) > BatchMax {
		return invalid("%d writes; at most %d", len(writes), BatchMax)
	}
	for _, w := range writes {
		if err := errors.Join(CheckKey("partition key", w.PK), CheckKey("sort key", w.SK)); err != nil {
			return err
		}
		if n := len(w.Value.Bytes); n > s.valueMax {
			return invalid("value of %v: %d bytes; at most %d", w.Key, n, s.valueMax)
		}
	}
	return nil
}

// groups sorts writes of a batch by the replicas that they go to.
func (s *Store) groups(b *batch, index []int) (groups []*group, err error) {
	open := map[string]*group{}
	for _, i := range index {
		w := &b.writes[i]
		view, err := s.viewOf(itemPK(w.Bucket, w.PK))
		if err != nil {
			return nil, err
		}
		name := places(view)
		g := open[name]
		if g == nil || g.size+w.size() > chunkMax {
			g = &group{batch: b, view: view}
			open[name], groups = g, append(groups, g)
		}
		g.index, g.size = append(g.index, i), g.size+w.size()
	}
	return groups, nil
}

func (s *Store) viewOf(pk []byte) (cluster.View, error) { return s.topology.View(layout.PrefixOf(pk)) }

// places names where a view sends to and by which plan: what has one name may go in one message.
func places(v cluster.View) string {
	name := []byte(fmt.Sprint(v.Plan()))
	for _, set := range v.Live {
		name = append(name, '|')
		for _, n := range set.Nodes {
			name = append(name, n[:]...)
		}
	}
	return string(name)
}

// send has one replica write, the nearest that can. If one plans with a newer layout, so does this node then.
func (s *Store) send(ctx context.Context, g *group, earlier bool) error {
	req := &storeRequest{}
	for _, i := range g.index {
		req.Writes = append(req.Writes, g.writes[i])
	}
	missed := &quorum.Error{Op: "write", Subject: req.subject(), Unknown: earlier}
	nodes := s.topology.Nearest(s.writers(g.view))
	for i, node := range nodes {
		limit, _ := s.env.Remaining(ctx)
		actx, cancel := s.env.WithTimeout(ctx, limit/time.Duration(min(2, len(nodes)-i)))
		resp, err := methodStore.Call(actx, s.endpoint, node, req)
		cancel()
		switch {
		case err == nil && len(resp.Written) == len(g.index):
			for n, at := range g.index {
				g.done[at] = resp.Written[n]
			}
			return nil
		case err == nil:
			err = fmt.Errorf("%d answers: %w", len(resp.Written), rpc.ErrMalformed)
		case final(err) && !missed.Unknown:
			return refusal(err)
		case elsewhere(err) && s.outdated(ctx, g, node):
			return s.deal(ctx, g.batch, g.index, missed.Unknown)
		}
		s.env.Sometimes("k2v write tried at another replica", true)
		missed.Unknown = missed.Unknown || !untouched(err)
		missed.Causes = append(missed.Causes, quorum.Cause{Node: s.topology.Describe(node), Err: err})
		if ctx.Err() != nil {
			break
		}
	}
	s.quorum.Missed("k2v write")
	return missed
}

// outdated fetches the layout of a node that is not where this one expected it, and reports whether a group
// has to be dealt anew.
func (s *Store) outdated(ctx context.Context, g *group, node rt.NodeID) bool {
	if s.topology.Learn(ctx, node) != nil {
		return false
	}
	w := &g.writes[g.index[0]]
	view, err := s.viewOf(itemPK(w.Bucket, w.PK))
	return err == nil && view.Plan() != g.view.Plan()
}

// final reports whether every replica would refuse a write for the same reason.
func final(err error) bool {
	return errors.Is(err, ErrInvalid) || errors.Is(err, ErrFull) || errors.Is(err, bucket.ErrClosed)
}

// elsewhere reports whether a replica knows another layout.
func elsewhere(err error) bool {
	return errors.Is(err, errNoReplica) || errors.Is(err, cluster.ErrOldLayout)
}

// untouched reports whether a replica that answered with an error has certainly written nothing: it says why
// only then.
func untouched(err error) bool {
	return errors.Is(err, rpc.ErrUnsent) || final(err) || elsewhere(err) ||
		errors.Is(err, cluster.ErrSyncing) || errors.Is(err, table.ErrFull)
}

func (r *storeRequest) subject() string {
	if n := len(r.Writes) - 1; n > 0 {
		return fmt.Sprintf("%v and %d more", r.Writes[0].key(), n)
	}
	return r.Writes[0].key().String()
}

// refusal makes the refusal of a replica one of this node.
func refusal(err error) error {
	var remote *rpc.Error
	if errors.As(err, &remote) && remote.Cause != nil {
		return remote.Cause
	}
	return err
}

// handleStore writes values at this node and then at a write quorum.
//
// Errors: of a known kind if nothing was written; else of none.
func (s *Store) handleStore(ctx context.Context, _ rt.NodeID, req *storeRequest) (*storeResponse, error) {
	if len(req.Writes) == 0 || len(req.Writes) > BatchMax {
		return nil, fmt.Errorf("batch of %d writes: %w", len(req.Writes), rpc.ErrMalformed)
	}
	resp := &storeResponse{Written: make([]written, len(req.Writes))}
	var parts []mergePart
	err := s.tables.Change(ctx, func(rows func([]byte) *table.Tx) (err error) {
		l := &local{Store: s, rows: rows}
		parts, err = l.write(req.Writes, resp.Written)
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.env.Buggify("k2v write stays local for long", 0.02) {
		s.env.Sleep(ctx, table.WriteTimeout/2)
	}
	if err := s.replicate(ctx, parts, req.subject()); err != nil {
		return nil, errors.New(err.Error())
	}
	return resp, nil
}

// writers are the nodes that may write into the items of a view: those that know all that was acknowledged. A
// node which has been given back what it once had does not know its own writes, and what it returns as seen
// covers them.
func (s *Store) writers(view cluster.View) []rt.NodeID {
	if s.env.Mutant("k2v: written where it is not known") {
		return view.Targets()
	}
	return view.ReadSet().Nodes
}

// belongs refuses what this node may not write, and returns the plan by which it may, and its share of an
// item.
func (s *Store) belongs(tx *table.Tx) (p cluster.Plan, share int, err error) {
	view, err := s.viewOf(tx.PK())
	if err != nil {
		return p, 0, err
	}
	nodes := s.writers(view)
	inSync, err := cluster.AdmitWrite(s.env, tx.Records(), view.Plan())
	switch {
	case err != nil:
		return p, 0, err
	case !slices.Contains(nodes, s.env.Self()):
		return p, 0, errNoReplica
	case !inSync && !s.env.Mutant("k2v: written where it is not known"):
		return p, 0, cluster.ErrSyncing
	}
	return view.Plan(), ItemMax / len(nodes), nil
}

// admit refuses writes into a bucket that is closed at this node: those of clients, and those that the
// replica which wrote them brings, since they count for its write quorum.
func (s *Store) admit(rows func([]byte) *table.Tx, b bucket.BucketID) error {
	return s.rows.gates.Admit(&rows(table.FullPK()).Reader, b)
}

// local is a transaction that writes items at this node.
type local struct {
	*Store
	rows  func([]byte) *table.Tx
	now   uint64
	seen  uint64 // the latest time that a token may name
	items []*writing
}

// writing is an item that the transaction writes, once for all its writes.
type writing struct {
	pk      []byte
	tx      *table.Tx
	plan    cluster.Plan
	share   int        // of ItemMax, for each replica
	clients *wireWrite // names it
	state   crdt.DVVS
	changed bool
}

// keyClock is the record of the latest time that this node wrote.
var keyClock = []byte("\x01k2v/clock")

// write writes values, and returns the items for other replicas.
func (l *local) write(writes []wireWrite, done []written) ([]mergePart, error) {
	index := map[string]*writing{}
	for i := range writes {
		w := &writes[i]
		pk := itemPK(w.Bucket, w.PK)
		name := string(pk) + w.SK
		item := index[name]
		if item == nil {
			var err error
			if item, err = l.open(pk, w); err != nil {
				return nil, err
			}
			index[name], l.items = item, append(l.items, item)
		}
		if i == 0 {
			l.readClock(item.tx)
		}
		var err error
		if done[i], err = l.one(item, w); err != nil {
			return nil, err
		}
	}
	l.items[0].tx.Records().Put(keyClock, binary.BigEndian.AppendUint64(nil, l.now))
	return l.store()
}

// open reads the item of a write, if it may be written here.
func (l *local) open(pk []byte, w *wireWrite) (*writing, error) {
	item := &writing{pk: pk, tx: l.rows(pk), clients: w}
	var err error
	if item.plan, item.share, err = l.belongs(item.tx); err != nil {
		return nil, err // whether it is a bucket's replica, before what it knows of the gate
	}
	if err := l.admit(l.rows, w.Bucket); err != nil {
		return nil, err
	}
	old, _, err := l.Store.rows.items.Get(&item.tx.Reader, []byte(w.SK))
	item.state = old.State
	return item, err
}

// store stores the items as they have become, and returns them.
func (l *local) store() (parts []mergePart, err error) {
	index := map[string]int{}
	for _, item := range l.items {
		sk := []byte(item.clients.SK)
		if item.changed {
			row := itemRow{PK: item.clients.PK, State: item.state}
			if err := l.Store.rows.items.Merge(item.tx, sk, row); err != nil {
				return nil, err
			}
		}
		row, _, err := l.Store.rows.items.GetRow(&item.tx.Reader, sk)
		if err != nil {
			return nil, err
		}
		row.Value = slices.Clone(row.Value)
		at, ok := index[string(item.pk)]
		if !ok {
			at = len(parts)
			index[string(item.pk)], parts = at, append(parts, mergePart{PK: item.pk, plan: item.plan})
		}
		parts[at].Rows = append(parts[at].Rows, row)
	}
	return parts, nil
}

// readClock learns the time below which this node writes nothing: that of the wall clock, and of all it
// wrote.
func (l *local) readClock(tx *table.Tx) {
	ms := func(wall interface{ UnixMilli() int64 }) uint64 { return uint64(max(wall.UnixMilli(), 0)) }
	l.now = ms(l.clock.Wall().Time())
	raw := tx.Records().Get(keyClock)
	if len(raw) == 8 && !l.env.Mutant("k2v clock forgotten") {
		l.now = max(l.now, binary.BigEndian.Uint64(raw))
	}
	l.seen = max(l.now, ms(l.clock.Last().Time())) + uint64(hlc.SkewMax.Milliseconds())
}

// one adds a write to its item.
func (l *local) one(item *writing, w *wireWrite) (out written, err error) {
	if l.env.Mutant("k2v context dropped") {
		w.Seen = nil
	}
	if item.state.Has(w.ID) {
		l.env.Sometimes("k2v write was there already", true)
	} else if item.state, err = l.add(item, w); err != nil {
		return out, err
	} else {
		item.changed = true
	}
	out.Only = true
	alive := false
	for _, v := range item.state.Dots {
		out.Only, alive = out.Only && v.ID == w.ID, true
	}
	out.Only = out.Only && alive || l.env.Mutant("k2v token over siblings")
	if out.Only {
		out.Seen = item.state.Context()
	}
	return out, nil
}

// add checks a write against the item, and adds its value.
func (l *local) add(item *writing, w *wireWrite) (crdt.DVVS, error) {
	state := item.state
	for _, d := range w.Seen {
		if d.Time > max(l.seen, state.Context().At(d.Node)) {
			return state, invalid("causality token: it names a time more than %v ahead; "+
				"check the nodes' clocks",
				hlc.SkewMax)
		}
	}
	next, t := state.Write(l.actor, l.now, w.Seen, crdt.DVVSValue{ID: w.ID, Deleted: w.Deleted,
		Bytes: w.Bytes})
	l.now = t
	values, length := next.Own(l.actor)
	if size := length + values*valueOverhead; values > ValuesMax || size > item.share {
		return state, fmt.Errorf("%w: %v would hold %d concurrent values of %d bytes of one "+
			"replica; at most %d, and %d bytes; read it and write with its causality token", ErrFull, w.key(),
			values, length, ValuesMax, item.share)
	}
	return next, nil
}

// valueOverhead is about what a value takes in a row besides its bytes.
const valueOverhead = 48

// replicate brings items that this node has written to a write quorum of every live set of each.
func (s *Store) replicate(ctx context.Context, parts []mergePart, subject string) error {
	merges, err := s.merges(parts)
	if err != nil {
		return err
	}
	return rt.Each(ctx, s.env, "k2v merge", sideBySide, len(merges), func(ctx context.Context, i int) error {
		return s.merge(ctx, merges[i], subject)
	})
}

// merging is a message, and where it goes.
type merging struct {
	mergeRequest
	view cluster.View
}

// merges deals parts into messages: what goes to the same replicas goes together.
func (s *Store) merges(parts []mergePart) (all []*merging, err error) {
	var order []string
	views, byPlace := map[string]cluster.View{}, map[string][]mergePart{}
	for _, p := range parts {
		pk := p.PK
		if s.env.Mutant("k2v: a batch goes where its first item goes") {
			pk = parts[0].PK
		}
		view, err := s.viewOf(pk)
		if err != nil {
			return nil, err
		}
		name := places(view)
		if _, ok := views[name]; !ok {
			views[name], order = view, append(order, name)
		}
		byPlace[name] = append(byPlace[name], p)
	}
	for _, name := range order {
		for _, req := range split(byPlace[name]) {
			req.Plan = views[name].Plan()
			all = append(all, &merging{req, views[name]})
		}
	}
	return all, nil
}

// split deals rows into messages.
func split(parts []mergePart) (chunks []mergeRequest) {
	size := chunkMax + 1
	for _, p := range parts {
		open := false
		for _, row := range p.Rows {
			n := len(row.Value) + len(row.Sort) + len(p.PK)
			if size+n > chunkMax {
				chunks, size, open = append(chunks, mergeRequest{}), 0, false
			}
			c := &chunks[len(chunks)-1]
			if !open {
				c.Parts, open = append(c.Parts, mergePart{PK: p.PK, plan: p.plan}), true
			}
			last := &c.Parts[len(c.Parts)-1]
			last.Rows = append(last.Rows, row)
			size += n
		}
	}
	return chunks
}

func (r *mergeRequest) size() (n int64) {
	for _, p := range r.Parts {
		for _, row := range p.Rows {
			n += int64(len(row.Value) + len(row.Sort) + len(p.PK))
		}
	}
	return n
}

// merge sends items to the other replicas. If they refuse it as planned with an old layout, and that
// decides, it learns theirs and brings each item to the sets that are live for it then.
func (s *Store) merge(ctx context.Context, m *merging, subject string) error {
	tally := s.mergeAt(ctx, m.view, &m.mergeRequest)
	if s.verdict(tally) == quorum.Acked && quorum.InTime(s.env, ctx) {
		return nil
	}
	if s.replanned(ctx, m, tally) {
		return s.replicate(ctx, m.Parts, subject)
	}
	s.quorum.Missed("k2v write")
	return tally.Missed(subject, s.topology.Describe, true)
}

// replanned learns the layout of a replica that refused an older one, and reports whether items go elsewhere
// now. They all do, or none does: they were planned alike.
func (s *Store) replanned(ctx context.Context, m *merging, tally *quorum.Tally) bool {
	if !quorum.Learn(ctx, s.topology, tally.Failures()) {
		return false
	}
	view, err := s.viewOf(m.Parts[0].PK)
	return err == nil && view.Plan() != m.Plan
}

// mergeAt sends items to the replicas and counts their answers: W of the set by which they were planned must
// be in sync, W of each other live set have stored them. What this node wrote by another plan it is sent too,
// and answers for by this one.
func (s *Store) mergeAt(ctx context.Context, view cluster.View, req *mergeRequest) *quorum.Tally {
	tally := quorum.NewTally(view, true)
	to := slices.Clone(s.topology.Nearest(view.Targets()))
	if !slices.ContainsFunc(req.Parts, func(p mergePart) bool { return p.plan != req.Plan }) {
		tally.Add(s.env.Self(), quorum.Answer{Vote: quorum.Clean})
		to = slices.DeleteFunc(to, func(n rt.NodeID) bool { return n == s.env.Self() })
	}
	round := quorum.Start(s.env.Background(), s.quorum, to, 0,
		func(ctx context.Context, to rt.NodeID) (*mergeResponse, error) {
			ctx, cancel := s.env.WithTimeout(ctx, table.WriteTimeout)
			defer cancel()
			return methodMerge.Call(ctx, s.endpoint, to, req)
		})
	for s.verdict(tally) == quorum.Waiting {
		reply, err := round.Next(ctx, 0)
		if err != nil {
			break
		}
		answer := quorum.Answer{Vote: quorum.Clean}
		switch {
		case reply.Err != nil:
			answer = quorum.Answer{Vote: quorum.Failed, Err: reply.Err}
		case reply.Value.Syncing && !s.env.Mutant("k2v: a syncing store counts"):
			answer.Vote = quorum.Stored
		}
		tally.Add(reply.Node, answer)
	}
	round.Detach(req.size())
	return tally
}

func (s *Store) verdict(t *quorum.Tally) quorum.Verdict {
	if s.env.Mutant("quorum of one") {
		return quorum.Acked
	}
	return t.Verdict(false)
}

// handleMerge takes in items that another replica has written.
func (s *Store) handleMerge(ctx context.Context, _ rt.NodeID, req *mergeRequest) (*mergeResponse, error) {
	resp := &mergeResponse{}
	return resp, s.tables.Change(ctx, func(rows func([]byte) *table.Tx) error {
		for _, p := range req.Parts {
			if len(p.PK) != itemPKLen {
				return fmt.Errorf("partition key of %d bytes: %w", len(p.PK), rpc.ErrMalformed)
			}
			inSync, err := cluster.AdmitWrite(s.env, rows(p.PK).Records(), req.Plan)
			if err != nil {
				return err
			}
			resp.Syncing = !inSync
			if err := s.admit(rows, bucket.BucketID(p.PK[:len(bucket.BucketID{})])); err != nil {
				return err
			}
			if err := rows(p.PK).ApplyRows(p.Rows); err != nil {
				return err
			}
		}
		return nil
	})
}
