package k2v

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
	"time"

	"granary/core/bucket"
	"granary/core/codec"
	"granary/core/crdt"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/rt"
	"granary/core/table"
)

// Counts describe the items of a partition key.
type Counts struct {
	Entries   int64 `cbor:"1,keyasint,omitempty"` // live items
	Conflicts int64 `cbor:"2,keyasint,omitempty"` // items with more than one value
	Values    int64 `cbor:"3,keyasint,omitempty"` // live values
	Bytes     int64 `cbor:"4,keyasint,omitempty"` // of live values
}

func countsOf(d crdt.DVVS) (c Counts) {
	values := d.Values()
	for _, v := range values {
		if !v.Deleted {
			c.Entries, c.Values, c.Bytes = 1, c.Values+1, c.Bytes+int64(len(v.Bytes))
		}
	}
	if len(values) > 1 {
		c.Conflicts = 1
	}
	return c
}

func (c Counts) plus(o Counts, sign int64) Counts {
	return Counts{c.Entries + sign*o.Entries, c.Conflicts + sign*o.Conflicts, c.Values + sign*o.Values,
		c.Bytes + sign*o.Bytes}
}

// Knowledge measures how much a replica has seen of a partition key: the sum of all times in the contexts of
// its items. A replica that has seen all that another has, and more, knows more.
type knowledge struct {
	_    struct{} `cbor:",toarray"`
	High uint64
	Low  uint64
}

func (k knowledge) plus(d crdt.DVVS) knowledge {
	var carry uint64
	for _, dot := range d.Context() {
		k.Low, carry = bits.Add64(k.Low, dot.Time, 0)
		k.High += carry
	}
	return k
}

func (k knowledge) minus(d crdt.DVVS) knowledge {
	var borrow uint64
	for _, dot := range d.Context() {
		k.Low, borrow = bits.Sub64(k.Low, dot.Time, 0)
		k.High -= borrow
	}
	return k
}

func (k knowledge) less(o knowledge) bool {
	return k.High < o.High || k.High == o.High && k.Low < o.Low
}

// count is what one replica counted of a partition key, in its order At.
type count struct {
	At     uint64    `cbor:"1,keyasint"`
	Known  knowledge `cbor:"2,keyasint"`
	Counts Counts    `cbor:"3,keyasint"`
}

// Join returns the later of two counts of one replica. At equal times, which no honest replica makes, the
// greater numbers win, so that replicas agree even then.
func (c count) Join(o count) count {
	if o.At > c.At || o.At == c.At && c.before(o) {
		return o
	}
	return c
}

func (c count) before(o count) bool {
	if c.Known != o.Known {
		return c.Known.less(o.Known)
	}
	a, b := c.Counts, o.Counts
	switch {
	case a.Entries != b.Entries:
		return a.Entries < b.Entries
	case a.Conflicts != b.Conflicts:
		return a.Conflicts < b.Conflicts
	case a.Values != b.Values:
		return a.Values < b.Values
	}
	return a.Bytes < b.Bytes
}

// indexRow is stored under bucket, partition key: what each replica counted.
type indexRow struct {
	Replicas crdt.Map[rt.NodeID, count] `cbor:"1,keyasint"`
}

// Join implements crdt.Lattice.
func (r indexRow) Join(o indexRow) indexRow { return indexRow{r.Replicas.Join(o.Replicas)} }

// counts are those of the replica that has seen the most. A former replica may have seen more, a write that
// was acknowledged by nobody else, or the same, and counts no longer; its word is as good as any while none
// of the present replicas has said anything.
func (r indexRow) counts(replicas []rt.NodeID) Counts {
	var best count
	for _, present := range []bool{true, false} {
		for id, c := range r.Replicas.All() {
			if slices.Contains(replicas, id) == present && best.Known.less(c.Known) {
				best = c
			}
		}
		if best != (count{}) {
			break
		}
	}
	return best.Counts
}

// Local records of this package. A dirty one says that a count has not reached the index yet.
var (
	prefixCount = []byte("\x01k2v/count/")
	prefixDirty = []byte("\x01k2v/dirty/")
)

// localCount is this replica's own count.
type localCount struct {
	PK    string `cbor:"1,keyasint"`
	Count count  `cbor:"2,keyasint"`
}

func under(prefix, pk []byte) []byte { return append(append([]byte(nil), prefix...), pk...) }

// applied follows every merge of an item: it counts, and tells who waits.
func (s *Store) applied(tx *table.Tx, at table.Address, old *itemRow, joined itemRow) error {
	var before crdt.DVVS
	if old != nil {
		before = old.State
	}
	if !joined.State.Context().Newer(before.Context()) && countsOf(before) == countsOf(joined.State) {
		return nil
	}
	tx.After(func() { s.changed(at) })
	records := tx.Records()
	key := under(prefixCount, at.PK)
	var local localCount
	if raw := records.Get(key); raw != nil {
		var err error
		if local, err = codec.Load[localCount](raw, kindCount); err != nil {
			return err
		}
	}
	c := &local.Count
	local.PK = joined.PK
	c.Known = c.Known.minus(before).plus(joined.State)
	c.Counts = c.Counts.plus(countsOf(before), -1).plus(countsOf(joined.State), 1)
	return local.tell(records, at.PK, joined.State.Context())
}

// tell stores a count that is to reach the index: after all that this replica told before, and no earlier
// than what it has seen.
func (local localCount) tell(records kv.Writer, pk []byte, seen crdt.Context) error {
	c := &local.Count
	c.At++
	for _, dot := range seen {
		c.At = max(c.At, dot.Time)
	}
	sealed, err := codec.Seal(kindCount, 1, local)
	if err != nil {
		return err
	}
	records.Put(under(prefixCount, pk), sealed)
	records.Put(under(prefixDirty, pk), binary.BigEndian.AppendUint64(nil, c.At))
	return nil
}

// mended follows the repair of an item, which goes into the count as it is now. What it had been counted as
// is known to nobody.
//
// Cost: a read of all items of the partition key, in the transaction of the repair.
func (s *Store) mended(tx *table.Tx, at table.Address, is *itemRow) error {
	if s.env.Mutant("k2v: a repaired item is counted as it was") {
		return nil
	}
	local, err := s.rows.recount(tx, at.PK)
	if err != nil {
		return err
	}
	var seen crdt.Context
	if is != nil {
		local.PK, seen = is.PK, is.State.Context()
	}
	if local.PK == "" { // there is no count that it was in
		return nil
	}
	tx.After(func() { s.changed(at) })
	return local.tell(tx.Records(), at.PK, seen)
}

// recount is the count of a partition key's items that can be read; the others are counted when they are
// repaired.
func (r *Rows) recount(tx *table.Tx, pk []byte) (local localCount, err error) {
	if raw := tx.Records().Get(under(prefixCount, pk)); raw != nil {
		if local, err = codec.Load[localCount](raw, kindCount); err != nil {
			return local, err
		}
	}
	c := &local.Count
	c.Known, c.Counts = knowledge{}, Counts{}
	err = r.items.ScanReadable(&tx.Reader, nil, nil, func(_ []byte, v itemRow) bool {
		c.Known, c.Counts = c.Known.plus(v.State), c.Counts.plus(countsOf(v.State), 1)
		return true
	})
	return local, err
}

// dropped follows the removal of an item that belongs to other nodes now: it counts down, and tells nobody,
// since the count of the partition key is the others' to tell.
func (r *Rows) dropped(tx *table.Tx, at table.Address, was itemRow) error {
	records, key := tx.Records(), under(prefixCount, at.PK)
	raw := records.Get(key)
	if raw == nil {
		return nil
	}
	local, err := codec.Load[localCount](raw, kindCount)
	if err != nil {
		return err
	}
	records.Delete(under(prefixDirty, at.PK))
	c := &local.Count
	if len(was.State.Context()) > 0 {
		c.Known, c.Counts = c.Known.minus(was.State), c.Counts.plus(countsOf(was.State), -1)
	} else if local, err = r.recount(tx, at.PK); err != nil { // it could not be read
		return err
	}
	if c.Known == (knowledge{}) {
		records.Delete(key)
		return nil
	}
	sealed, err := codec.Seal(kindCount, 1, local)
	if err == nil {
		records.Put(key, sealed)
	}
	return err
}

// Limits of the index's background work.
const (
	// indexEvery is how often counts are sent to the index.
	indexEvery = time.Second
	// indexPass is how many counts one pass sends.
	indexPass = 1000
)

// runIndex sends changed counts to the index, in passes of which each is one row batch per bucket.
func (s *Store) runIndex(ctx context.Context) error {
	for s.env.Sleep(ctx, indexEvery) == nil {
		if err := s.FlushIndex(ctx); err != nil {
			s.env.Debug("the k2v index waits", "err", err)
		}
	}
	return nil
}

// FlushIndex sends all changed counts of this node to the index. What cannot be sent, because too few
// replicas of a bucket's index answer, does not hold up the rest.
func (s *Store) FlushIndex(ctx context.Context) (failed error) {
	for from := prefixDirty; from != nil; {
		next, err := s.indexPass(ctx, from)
		if failed = cmp.Or(failed, err); ctx.Err() != nil {
			return cmp.Or(failed, ctx.Err())
		}
		from = next
	}
	return failed
}

type dirtyCount struct {
	pk    []byte
	local localCount
}

// indexPass sends a pass of dirty counts from a key on, and returns where the next one begins, nil if there
// is none. What could not be sent stays dirty.
func (s *Store) indexPass(ctx context.Context, from []byte) (next []byte, err error) {
	var dirty []dirtyCount
	err = s.store.View(func(r kv.Reader) (err error) {
		var pks [][]byte
		r.Ascend(from, under(prefixDirty[:len(prefixDirty)-1], []byte{'/' + 1}),
			func(k, _ []byte) bool {
				pks = append(pks, append([]byte(nil), k[len(prefixDirty):]...))
				return len(pks) < indexPass
			})
		for _, pk := range pks {
			local, err := codec.Load[localCount](r.Get(under(prefixCount, pk)), kindCount)
			if err != nil {
				return err
			}
			dirty = append(dirty, dirtyCount{pk, local})
		}
		return nil
	})
	if err != nil || len(dirty) == 0 {
		return nil, err
	}
	if len(dirty) == indexPass {
		next = append(under(prefixDirty, dirty[indexPass-1].pk), 0)
	}
	var failed []error
	for rest := dirty; len(rest) > 0; {
		n := 1
		for n < len(rest) && bucketOf(rest[n].pk) == bucketOf(rest[0].pk) {
			n++
		}
		failed = append(failed, s.sendCounts(ctx, rest[:n]))
		rest = rest[n:]
	}
	return next, errors.Join(failed...)
}

func bucketOf(pk []byte) bucket.BucketID { return bucket.BucketID(pk[:len(bucket.BucketID{})]) }

// sendCounts writes counts of one bucket to the index, and forgets that they are to be sent.
func (s *Store) sendCounts(ctx context.Context, dirty []dirtyCount) error {
	b := bucketOf(dirty[0].pk)
	var item table.Item
	for _, d := range dirty {
		v := indexRow{crdt.Map[rt.NodeID, count]{}.With(s.env.Self(), d.local.Count)}
		row, err := s.rows.index.Row([]byte(d.local.PK), v)
		if err != nil {
			return err
		}
		item.With = append(item.With, row)
	}
	_, err := s.tables.WriteOne(ctx, table.Write{Subject: "k2v index of bucket " + b.String(), PK: b[:],
		Items: []table.Item{item}})
	if err != nil {
		return err
	}
	return s.store.Update(ctx, func(w kv.Writer) error {
		for _, d := range dirty {
			key := under(prefixDirty, d.pk)
			if raw := w.Get(key); len(raw) == 8 && binary.BigEndian.Uint64(raw) == d.local.Count.At {
				w.Delete(key)
			}
		}
		return nil
	})
}

// Partition is a line of the index.
type Partition struct {
	PK     string
	Counts Counts
}

// PartitionPage is a page of the index. More says that there are more; Next is the first one.
type PartitionPage struct {
	Partitions []Partition
	More       bool
	Next       string
}

// ReadIndex lists the partition keys that have live items. Counts follow the items within seconds.
//
// Errors: ErrInvalid, *quorum.Error.
func (s *Store) ReadIndex(ctx context.Context, b bucket.BucketID, r Range) (page PartitionPage, err error) {
	err = walk(ctx, s, s.rows.index, b[:], "k2v index of bucket "+b.String(), r,
		func(sort []byte, row indexRow) (bool, error) {
			view, err := s.topology.View(layout.PrefixOf(itemPK(b, string(sort))))
			if err != nil {
				return false, err
			}
			c := row.counts(view.Targets())
			switch {
			case c.Entries <= 0:
			case len(page.Partitions) >= r.limit():
				page.More, page.Next = true, string(sort)
				return false, nil
			default:
				page.Partitions = append(page.Partitions, Partition{string(sort), c})
			}
			return true, nil
		})
	return page, err
}
