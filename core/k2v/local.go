package k2v

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/crdt"
	"granary/core/hlc"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

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
