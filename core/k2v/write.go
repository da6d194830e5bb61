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
	PK   []byte      `cbor:"1,keyasint"`
	Rows []table.Row `cbor:"2,keyasint"`
}

type mergeResponse struct{}

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

// group are writes for the same replicas.
type group struct {
	view  cluster.View
	index []int // of the writes
	req   storeRequest
	size  int
}

func (s *Store) insert(ctx context.Context, writes []Write) ([]written, error) {
	if err := s.check(writes); err != nil {
		return nil, err
	}
	groups, err := s.groups(writes)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.env.WithTimeout(ctx, table.WriteTimeout)
	defer cancel()
	done := make([]written, len(writes))
	err = s.each(len(groups), func(i int) error {
		g := groups[i]
		resp, err := s.send(ctx, g)
		if err != nil {
			return err
		}
		for n, at := range g.index {
			done[at] = resp.Written[n]
		}
		return nil
	})
	if err != nil && len(groups) > 1 {
		err = partly("batch of items", err)
	}
	return done, err
}

// partly is the error of a batch of which other parts may have been written.
func partly(subject string, err error) error {
	return &quorum.Error{Op: "write", Subject: subject, Unknown: true,
		Causes: []quorum.Cause{{Node: "a part of it", Err: err}}}
}

// sideBySide is how many parts of a batch are under way at a time.
const sideBySide = 64

// each calls f for 0 to n-1, some side by side, and joins their errors.
func (s *Store) each(n int, f func(i int) error) error {
	errs := make([]error, n)
	next, lock := 0, s.env.NewLock()
	g := rt.NewGroup(s.env, s.env.Background())
	for range min(n, sideBySide) {
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

// groups sorts writes by the replicas that they go to.
func (s *Store) groups(writes []Write) (groups []*group, err error) {
	open := map[string]*group{}
	for i, w := range writes {
		view, err := s.topology.View(layout.PrefixOf(itemPK(w.Bucket, w.PK)))
		if err != nil {
			return nil, err
		}
		wire := wireWrite{Bucket: w.Bucket, PK: w.PK, SK: w.SK, Seen: w.Seen,
			ID: crdt.WriteID(s.env.Secret(len(crdt.WriteID{}))), Deleted: w.Value.Deleted,
			Bytes: w.Value.Bytes}
		name := ""
		for _, set := range view.Live {
			for _, n := range set.Nodes {
				name += string(n[:])
			}
			name += "|"
		}
		g := open[name]
		if g == nil || g.size+wire.size() > chunkMax {
			g = &group{view: view}
			open[name], groups = g, append(groups, g)
		}
		g.index, g.size = append(g.index, i), g.size+wire.size()
		g.req.Writes = append(g.req.Writes, wire)
	}
	return groups, nil
}

// send has one replica write, the nearest that can, under ids that stay the same.
func (s *Store) send(ctx context.Context, g *group) (*storeResponse, error) {
	missed := &quorum.Error{Op: "write", Subject: g.req.Writes[0].subject(len(g.req.Writes))}
	nodes := s.topology.Nearest(g.view.Targets())
	for i, node := range nodes {
		limit, _ := s.env.Remaining(ctx)
		actx, cancel := s.env.WithTimeout(ctx, limit/time.Duration(min(2, len(nodes)-i)))
		resp, err := methodStore.Call(actx, s.endpoint, node, &g.req)
		cancel()
		switch {
		case err == nil && len(resp.Written) == len(g.req.Writes):
			return resp, nil
		case err == nil:
			err = fmt.Errorf("%d answers: %w", len(resp.Written), rpc.ErrMalformed)
		case errors.Is(err, ErrInvalid), errors.Is(err, ErrFull),
			errors.Is(err, bucket.ErrClosed) && !missed.Unknown:
			return nil, refusal(err)
		}
		s.env.Sometimes("k2v write tried at another replica", true)
		missed.Unknown = missed.Unknown || !errors.Is(err, rpc.ErrUnsent) && !errors.Is(err, errNoReplica)
		missed.Causes = append(missed.Causes, quorum.Cause{Node: s.topology.Describe(node), Err: err})
		if ctx.Err() != nil {
			break
		}
	}
	s.quorum.Missed("k2v write")
	return nil, missed
}

func (w *wireWrite) subject(n int) string {
	if n == 1 {
		return w.key().String()
	}
	return fmt.Sprintf("%v and %d more", w.key(), n-1)
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
func (s *Store) handleStore(ctx context.Context, _ rt.NodeID, req *storeRequest) (*storeResponse, error) {
	if len(req.Writes) == 0 || len(req.Writes) > BatchMax {
		return nil, fmt.Errorf("batch of %d writes: %w", len(req.Writes), rpc.ErrMalformed)
	}
	view, err := s.topology.View(layout.PrefixOf(itemPK(req.Writes[0].Bucket, req.Writes[0].PK)))
	if err != nil {
		return nil, err
	}
	if !slices.Contains(view.Targets(), s.env.Self()) {
		return nil, errNoReplica
	}
	resp := &storeResponse{Written: make([]written, len(req.Writes))}
	var parts []mergePart
	err = s.tables.Change(ctx, func(rows func([]byte) *table.Tx) (err error) {
		tx := rows(itemPK(req.Writes[0].Bucket, req.Writes[0].PK))
		if _, err := cluster.AdmitWrite(s.env, tx.Records(), view.Plan()); err != nil {
			return err
		}
		for i := range req.Writes {
			if err := s.admit(rows, req.Writes[i].Bucket); err != nil {
				return err
			}
		}
		l := &local{Store: s, rows: rows, share: ItemMax / len(view.ReadSet().Nodes)}
		parts, err = l.write(req.Writes, resp.Written)
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.env.Buggify("k2v write stays local for long", 0.02) {
		s.env.Sleep(ctx, table.WriteTimeout/2)
	}
	return resp, s.replicate(ctx, view, parts, req.Writes[0].subject(len(req.Writes)))
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
	share int // of ItemMax, for each replica
	now   uint64
	seen  uint64 // the latest time that a token may name
	items []*writing
}

// writing is an item that the transaction writes, once for all its writes.
type writing struct {
	pk      []byte
	tx      *table.Tx
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
			item = &writing{pk: pk, tx: l.rows(pk), clients: w}
			old, _, err := l.Store.rows.items.Get(&item.tx.Reader, []byte(w.SK))
			if err != nil {
				return nil, err
			}
			item.state = old.State
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
			index[string(item.pk)], parts = at, append(parts, mergePart{PK: item.pk})
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
	} else if item.state, err = l.add(item.state, w); err != nil {
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
func (l *local) add(state crdt.DVVS, w *wireWrite) (crdt.DVVS, error) {
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
	if size := length + values*valueOverhead; values > ValuesMax || size > l.share {
		return state, fmt.Errorf("%w: %v would hold %d concurrent values of %d bytes of one "+
			"replica; at most %d, and %d bytes; read it and write with its causality token", ErrFull, w.key(),
			values, length, ValuesMax,
			l.share)
	}
	return next, nil
}

// valueOverhead is about what a value takes in a row besides its bytes.
const valueOverhead = 48

// replicate brings items that this node has written to a write quorum of every live set.
func (s *Store) replicate(ctx context.Context, view cluster.View, parts []mergePart, subject string) error {
	chunks := split(parts)
	return s.each(len(chunks), func(i int) error { return s.merge(ctx, view, chunks[i], subject) })
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
				c.Parts, open = append(c.Parts, mergePart{PK: p.PK}), true
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
// decides, it learns theirs and sends the same to the sets that are live then.
func (s *Store) merge(ctx context.Context, view cluster.View, req mergeRequest, subject string) error {
	for {
		req.Plan = view.Plan()
		tally := s.mergeAt(ctx, view, req)
		if s.verdict(tally) == quorum.Acked {
			return nil
		}
		next, err := s.replan(ctx, req.Parts[0].PK, tally)
		if err != nil || next.Plan() == view.Plan() {
			s.quorum.Missed("k2v write")
			return tally.Missed(subject, s.topology.Describe, true)
		}
		view = next
	}
}

// replan returns the view after learning the layout of a replica that refused an older one.
func (s *Store) replan(ctx context.Context, pk []byte, tally *quorum.Tally) (cluster.View, error) {
	for _, f := range tally.Failures() {
		if errors.Is(f.Err, cluster.ErrOldLayout) {
			if err := s.topology.Learn(ctx, f.Node); err != nil {
				return cluster.View{}, err
			}
			return s.topology.View(layout.PrefixOf(pk))
		}
	}
	return cluster.View{}, quorum.ErrUnavailable
}

func (s *Store) mergeAt(ctx context.Context, view cluster.View, req mergeRequest) *quorum.Tally {
	tally := quorum.NewTally(view, false)
	tally.Add(s.env.Self(), quorum.Answer{Vote: quorum.Stored})
	var others []rt.NodeID
	for _, n := range s.topology.Nearest(view.Targets()) {
		if n != s.env.Self() {
			others = append(others, n)
		}
	}
	round := quorum.Start(s.env.Background(), s.quorum, others, 0,
		func(ctx context.Context, to rt.NodeID) (*mergeResponse, error) {
			ctx, cancel := s.env.WithTimeout(ctx, table.WriteTimeout)
			defer cancel()
			return methodMerge.Call(ctx, s.endpoint, to, &req)
		})
	for s.verdict(tally) == quorum.Waiting {
		reply, err := round.Next(ctx, 0)
		if err != nil {
			break
		}
		answer := quorum.Answer{Vote: quorum.Stored}
		if reply.Err != nil {
			answer = quorum.Answer{Vote: quorum.Failed, Err: reply.Err}
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
	return nil, s.tables.Change(ctx, func(rows func([]byte) *table.Tx) error {
		for i, p := range req.Parts {
			if len(p.PK) != itemPKLen {
				return fmt.Errorf("partition key of %d bytes: %w", len(p.PK), rpc.ErrMalformed)
			}
			if i == 0 {
				if _, err := cluster.AdmitWrite(s.env, rows(p.PK).Records(), req.Plan); err != nil {
					return err
				}
			}
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
