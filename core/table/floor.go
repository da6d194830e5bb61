package table

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"granary/core/cluster"
	"granary/core/codec"
	"granary/core/hlc"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
)

// floor is what this replica has said of the old rows under one hash prefix. A row is as old as its newest
// stamp.
// Source: DESIGN.md, "Deletion markers".
type floor struct {
	// Promise: coordinators bring nothing any more that is not newer.
	Promise hlc.Stamp `cbor:"1,keyasint"`
	// Floor: what is not newer and not here is gone, or was never acknowledged; whoever brings it.
	Floor hlc.Stamp `cbor:"2,keyasint,omitempty"`
	// Epoch is the one that the promise was made to last.
	Epoch uint64 `cbor:"3,keyasint,omitempty"`
}

var kindFloor = codec.Register(0x20, 1, "floor of deletion markers")

var (
	// keyFloor begins the keys of floors; the hash prefix follows, 2 bytes.
	keyFloor = []byte("\x01table/floor/")
	// keyHole begins the keys of holes; a row's local key follows. A row was removed there that is not gone:
	// others bring it, or a part of it, whatever the floor.
	keyHole = []byte("\x01table/hole/")
)

func floorKey(p layout.Prefix) []byte {
	return binary.BigEndian.AppendUint16(bytes.Clone(keyFloor), uint16(p))
}

func readFloor(r kv.Reader, p layout.Prefix) (f floor, err error) {
	if stored := r.Get(floorKey(p)); stored != nil {
		if f, err = codec.Load[floor](stored, kindFloor); err != nil {
			err = fmt.Errorf("floor of prefix %04x: %w", p, err)
		}
	}
	return f, err
}

func (f floor) put(w kv.Writer, p layout.Prefix) error {
	sealed, err := codec.Seal(kindFloor, 1, f)
	if err == nil {
		w.Put(floorKey(p), sealed)
	}
	return err
}

// eachFloor calls f for the floors of a range of prefixes, in order, until it returns false.
func eachFloor(r kv.Reader, first, last layout.Prefix, f func(layout.Prefix, floor) bool) (failed error) {
	r.Ascend(floorKey(first), append(floorKey(last), 0), func(k, stored []byte) bool {
		one, err := codec.Load[floor](stored, kindFloor)
		if err != nil {
			failed = fmt.Errorf("floor %x: %w", k, err)
			return false
		}
		return f(layout.Prefix(binary.BigEndian.Uint16(k[len(keyFloor):])), one)
	})
	return failed
}

// forgetFloors forgets what was said of prefixes whose rows are about to be dropped, though they are not gone
// elsewhere.
func forgetFloors(w kv.Writer, first, last layout.Prefix) {
	deleteRange(w, floorKey(first), append(floorKey(last), 0))
	forgetHoles(w, first, last)
}

// forgetHoles forgets where rows were removed that others bring: they have.
func forgetHoles(w kv.Writer, first, last layout.Prefix) {
	span := SpanOf(first, last)
	deleteRange(w, append(bytes.Clone(keyHole), span.Lo...), append(bytes.Clone(keyHole), span.Hi...))
}

func deleteRange(w kv.Writer, lo, hi []byte) {
	var keys [][]byte
	w.Ascend(lo, hi, func(k, _ []byte) bool {
		keys = append(keys, bytes.Clone(k))
		return true
	})
	for _, k := range keys {
		w.Delete(k)
	}
}

func putHole(w kv.Writer, key []byte) { w.Put(append(bytes.Clone(keyHole), key...), []byte{1}) }

// checkFloor judges a record of a floor or a hole. known is false if it is neither.
func checkFloor(key, value []byte) (known bool, err error) {
	if row, ok := bytes.CutPrefix(key, keyHole); ok {
		if len(row) < localHeadLen || row[0] != localPrefix {
			err = errors.New("a hole where no row can be")
		}
		return true, err
	}
	prefix, ok := bytes.CutPrefix(key, keyFloor)
	if !ok {
		return false, nil
	}
	f, err := codec.Load[floor](value, kindFloor)
	switch {
	case err != nil:
	case len(prefix) != 2:
		err = fmt.Errorf("a floor of %x, which is no hash prefix", prefix)
	case f.Floor > f.Promise:
		err = fmt.Errorf("floor %v above the promise, %v", f.Floor, f.Promise)
	}
	return true, err
}

// floors is what a node knows of all its floors without looking: so writes of new rows, which are almost all,
// need not look.
type floors struct {
	env rt.Env
	max atomic.Uint64 // no promise is newer
	// slack is how far beyond what a replica that is not in sync takes no more it wants a new stamp to be.
	slack hlc.Stamp
}

func newFloors(env rt.Env) *floors {
	f := &floors{env: env}
	f.max.Store(uint64(hlc.StampMax)) // until they are read
	return f
}

func (f *floors) bound() hlc.Stamp { return hlc.Stamp(f.max.Load()) }

// raise precedes the transaction that makes a promise durable.
func (f *floors) raise(to hlc.Stamp) {
	for now := f.max.Load(); now < uint64(to) && !f.max.CompareAndSwap(now, uint64(to)); now = f.max.Load() {
	}
}

// load reads the floors after a start, before anything else happens.
func (f *floors) load(store kv.Store) error {
	var newest hlc.Stamp
	err := store.View(func(r kv.Reader) error {
		return eachFloor(r, 0, layout.Prefix(1<<16-1), func(_ layout.Prefix, one floor) bool {
			newest = max(newest, one.Promise, one.Floor)
			return true
		})
	})
	if err == nil {
		f.max.Store(uint64(newest))
	}
	return err
}

// absence is what a replica says of the rows that it lacks of a partition key: up to which age they are gone,
// but for those in holes, by table and sort key.
type absence struct {
	Floor hlc.Stamp `cbor:"1,keyasint,omitempty"`
	Holes [][]byte  `cbor:"2,keyasint,omitempty"`
}

// holesMax bounds the holes of an absence; of more, nothing is said at all.
const holesMax = 64

func (r *Reader) absence() (a absence, err error) {
	f, err := readFloor(r.kv, r.prefix)
	if f.Floor == 0 || err != nil {
		return a, err
	}
	a.Floor = f.Floor
	span, skip := SpanOf(r.prefix, r.prefix), len(keyHole)+localHeadLen
	r.kv.Ascend(append(bytes.Clone(keyHole), span.Lo...), append(bytes.Clone(keyHole), span.Hi...),
		func(k, _ []byte) bool {
			if bytes.HasPrefix(k[skip:], r.pk) {
				a.Holes = append(a.Holes, holeOf(ID(k[skip-1]), k[skip+len(r.pk):]))
			}
			if len(a.Holes) > holesMax {
				a = absence{}
			}
			return a.Floor > 0
		})
	return a, nil
}

func holeOf(id ID, sort []byte) []byte { return append([]byte{byte(id)}, sort...) }

// floor is up to which age a row that is lacking is gone.
func (a absence) floor(id ID, sort []byte) hlc.Stamp {
	for _, h := range a.Holes {
		if h[0] == byte(id) && bytes.Equal(h[1:], sort) {
			return 0
		}
	}
	return a.Floor
}

func (a absence) equal(b absence) bool {
	return a.Floor == b.Floor && slices.EqualFunc(a.Holes, b.Holes, bytes.Equal)
}

// Floor returns up to which age a row is gone that is not here.
func (t *Table[T]) Floor(r *Reader, sort []byte) (hlc.Stamp, error) {
	f, err := readFloor(r.kv, r.prefix)
	if f.Floor == 0 || err != nil {
		return 0, err
	}
	if r.kv.Get(appendLocal(bytes.Clone(keyHole), r.prefix, t.def.ID, Address{r.pk, sort})) != nil {
		return 0, nil
	}
	return f.Floor, nil
}

// passedOver says that nothing of a row's item is stored, because it is too old, and what is answered.
type passedOver struct {
	ballot
	floor hlc.Stamp // that it is below; 0 if it is the promise that stands in the way
	// cut says that the row is only what Sift had left.
	cut bool
}

// Error implements error.
func (p *passedOver) Error() string { return fmt.Sprintf("no newer than %v, which is too old", p.head) }

func (p *passedOver) answer() wireAnswer { return wireAnswer{Vote: onWire(p.vote), Head: p.head} }

// passOver returns what of a row is stored here, with its encoding, or a *passedOver if it is too old.
//
// What a coordinator brings is held against the promise, unless it changes nothing. What others bring was at
// a replica when the promise was made, or will be when the next one is; so it is held against the floor
// alone, and only if there is no row to merge it into.
func (t *Table[T]) passOver(tx *Tx, at Address, old []byte, incoming T, in []byte, cut bool) (T, []byte,
	error) {
	if t.def.Newest == nil || tx.floors == nil || tx.trusted {
		return incoming, in, nil
	}
	if t.def.Oldest(incoming) > max(tx.floors.bound(), tx.late) {
		return incoming, in, nil
	}
	f, err := readFloor(tx.kv, tx.prefix)
	env, newest := tx.floors.env, t.def.Newest(incoming)
	switch {
	case err != nil:
		return incoming, in, err
	case tx.stampMax != 0 && !tx.back && newest <= max(f.Promise, tx.late) &&
		!env.Mutant("floor: a promise is not kept"):
		return incoming, in, t.promised(tx, f, old, newest, in)
	case old != nil || t.def.Oldest(incoming) > f.Floor || env.Mutant("floor: rows below it come back"),
		tx.kv.Get(appendLocal(bytes.Clone(keyHole), tx.prefix, t.def.ID, at)) != nil:
		return incoming, in, nil
	}
	above, left := t.def.Above(incoming, f.Floor)
	env.Sometimes("a row below the floor was passed over", true)
	if left {
		in, err = codec.Marshal(above)
		return above, in, err
	}
	p := &passedOver{ballot: ballot{quorum.Late, f.Floor}, floor: f.Floor, cut: cut}
	if t.def.Spent(incoming) { // it was here
		p.ballot = ballot{vote: quorum.Stored}
		if t.def.Head != nil {
			p.vote = quorum.Clean
		}
	}
	return incoming, in, p
}

// promised holds a coordinator's row against the promise.
func (t *Table[T]) promised(tx *Tx, f floor, old []byte, newest hlc.Stamp, in []byte) error {
	if old != nil {
		joined, err := t.join(old, in)
		if err != nil || bytes.Equal(joined, old) {
			return err
		}
	}
	p := &passedOver{ballot: ballot{quorum.Late, f.Promise}}
	if newest <= tx.late {
		p.head = max(p.head, tx.late+tx.floors.slack)
	}
	return p
}

// age implements schema.
func (t *Table[T]) age(row []byte) (newest hlc.Stamp, spent bool, err error) {
	v, err := t.Decode(row)
	if err != nil {
		return 0, false, err
	}
	return t.def.Newest(v), t.def.Spent(v), nil
}

// yield implements schema: it removes a row that is gone elsewhere.
func (t *Table[T]) yield(tx *Tx, key []byte) error {
	stored := tx.w.Get(key)
	v, err := t.open(stored)
	if err != nil {
		return atKey(key, err)
	}
	was := t.digestOf(key, stored)
	tx.w.Delete(key)
	if !t.def.Derived {
		tracker{tx.w}.change(t, key, was, Digest{})
	}
	if t.def.Yielded == nil {
		return nil
	}
	return t.def.Yielded(tx, Address{tx.pk, key[localHeadLen+t.def.PKLen:]}, v)
}

// lateUnsynced is up to which age a replica that is not in sync takes nothing from coordinators: it may have
// promised so before it lost its memory.
func (t *Tables) lateUnsynced() hlc.Stamp {
	if t.tombstones.Keep == 0 {
		return 0
	}
	return max(t.clock.Wall(), t.clock.Last()).Add(-t.tombstones.Keep)
}

// absent is what the answer to a read says that found no row which has an age. The reader must know: another
// replica's answer may be from before it learnt what is gone here.
func (t *Tables) absent(r kv.Reader, pk []byte, rows []Row) (a absence, err error) {
	if t.floors.bound() == 0 {
		return a, nil
	}
	for _, row := range rows {
		if s, err := t.registry.schema(row.Table); err == nil && s.ages() {
			return a, nil
		}
	}
	return newReader(r, pk).absence()
}

// above implements schema.
func (t *Table[T]) above(row []byte, floor hlc.Stamp) (above []byte, left bool, err error) {
	if t.def.Above == nil || floor == 0 {
		return row, true, nil
	}
	v, err := t.Decode(row)
	if err != nil || t.def.Oldest(v) > floor {
		return row, true, err
	}
	if v, left = t.def.Above(v, floor); left {
		above, err = codec.Marshal(v)
	}
	return above, left, err
}

// yieldTo follows a push that the receiver passed over a row of, because it is below its floor. A replica in
// sync takes the floor over, which has only not come to it yet; then what it has there says that something is
// gone, and goes. One that takes over rows has the floor already, and what it has besides goes.
func (t *Tables) yieldTo(ctx context.Context, key []byte, floor hlc.Stamp, taking bool) error {
	s, err := t.registry.schema(ID(key[localHeadLen-1]))
	if err != nil || !s.ages() {
		return err
	}
	_, _, n := s.describe()
	return t.Change(ctx, func(rows func([]byte) *Tx) error {
		tx := rows(key[localHeadLen : localHeadLen+n])
		stored := tx.w.Get(key)
		if stored == nil || !taking && !cluster.InSync(t.env, tx.w) {
			return nil
		}
		row, err := s.unseal(stored)
		if err != nil {
			return atKey(key, err)
		}
		newest, spent, err := s.age(row)
		if err != nil || newest > floor {
			return err
		}
		if !taking {
			if _, err := t.raiseFloor(tx.w, tx.prefix, floorOffer{Promise: floor, Floor: floor}); err != nil {
				return err
			}
			t.env.Always(spent, "what is below a floor and not gone is at every replica")
		}
		if !spent && !taking {
			return nil
		}
		t.env.Sometimes("a row went that is gone elsewhere", true)
		return s.yield(tx, key)
	})
}

// floorOffer is what a replica tells of its floor under a prefix.
type floorOffer struct {
	Prefix  layout.Prefix `cbor:"1,keyasint"`
	Promise hlc.Stamp     `cbor:"2,keyasint"`
	Floor   hlc.Stamp     `cbor:"3,keyasint,omitempty"`
}

// raiseFloor takes another replica's promise and floor over, where they are higher. raised says whether the
// floor is.
func (t *Tables) raiseFloor(w kv.Writer, p layout.Prefix, o floorOffer) (raised bool, err error) {
	f, err := readFloor(w, p)
	if err != nil || f.Promise >= o.Promise && f.Floor >= o.Floor {
		return false, err
	}
	raised = o.Floor > f.Floor
	f.Promise, f.Floor = max(f.Promise, o.Promise), max(f.Floor, o.Floor)
	t.floors.raise(f.Promise)
	return raised, f.put(w, p)
}

// floorsMax bounds the floors of one message.
const floorsMax = 4096

// prefixRange is a range of hash prefixes, inclusive.
type prefixRange struct {
	First layout.Prefix `cbor:"1,keyasint"`
	Last  layout.Prefix `cbor:"2,keyasint"`
}

// floorsRequest asks a replica that is what Source says for its floors in ordered ranges.
type floorsRequest struct {
	Ranges []prefixRange  `cbor:"1,keyasint"`
	Source cluster.Source `cbor:"2,keyasint,omitzero"`
}

type floorsResponse struct {
	Floors []floorOffer `cbor:"1,keyasint,omitempty"` // ordered
	More   bool         `cbor:"2,keyasint,omitempty"` // behind the last one
}

var methodFloors = rpc.NewMethod[floorsRequest, floorsResponse]("table.floors", rpc.Meta)

func (t *Tables) handleFloors(_ context.Context, _ rt.NodeID, req *floorsRequest) (*floorsResponse, error) {
	resp := &floorsResponse{}
	err := t.store.View(func(r kv.Reader) error {
		if err := cluster.AdmitSync(t.env, r, req.Source); err != nil {
			return err
		}
		return eachFloorIn(r, req.Ranges, func(p layout.Prefix, f floor) bool {
			if resp.More = len(resp.Floors) == floorsMax; !resp.More {
				resp.Floors = append(resp.Floors, floorOffer{p, f.Promise, f.Floor})
			}
			return !resp.More
		})
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// eachFloorIn is eachFloor for several ranges.
func eachFloorIn(r kv.Reader, ranges []prefixRange, f func(layout.Prefix, floor) bool) error {
	more := true
	for _, at := range ranges {
		err := eachFloor(r, at.First, at.Last, func(p layout.Prefix, one floor) bool {
			more = f(p, one)
			return more
		})
		if !more || err != nil {
			return err
		}
	}
	return nil
}

// takeFloors takes the floors of spans over from a peer, and reports whether one was raised here. The
// promises here last for no epoch any more: what this node holds is about to change.
//
// Cost: one call, unless there are thousands.
func (t *Tables) takeFloors(ctx context.Context, peer rt.NodeID, spans []Span,
	source cluster.Source) (raised bool, err error) {
	if t.env.Mutant("floor: a lost store forgets") {
		return false, nil
	}
	ranges := rangesOf(spans)
	if err := t.breakEpochs(ctx, ranges); err != nil {
		return false, err
	}
	for more := true; more; {
		got, err := t.askFloors(ctx, peer, &floorsRequest{ranges, source})
		if errors.Is(err, rpc.ErrUnknownMethod) { // of an earlier version, which makes no promises
			return raised, nil
		}
		if err != nil || len(got.Floors) == 0 {
			return raised, err
		}
		err = t.store.Update(ctx, func(w kv.Writer) error {
			for _, o := range got.Floors {
				up, err := t.raiseFloor(w, o.Prefix, o)
				if raised = raised || up; err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return raised, err
		}
		ranges = behind(ranges, got.Floors[len(got.Floors)-1].Prefix)
		more = got.More && len(ranges) > 0
	}
	return raised, nil
}

func (t *Tables) askFloors(ctx context.Context, peer rt.NodeID, req *floorsRequest) (*floorsResponse, error) {
	ctx, cancel := t.env.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	return methodFloors.Call(ctx, t.endpoint, peer, req)
}

// rangesOf are the hash prefixes of spans, in order.
func rangesOf(spans []Span) (all []prefixRange) {
	for _, span := range spans {
		first, last := span.prefixes()
		all = append(all, prefixRange{first, last})
	}
	slices.SortFunc(all, func(a, b prefixRange) int { return cmp.Compare(a.First, b.First) })
	return slices.Compact(all)
}

// behind is what is left of ordered ranges behind a prefix.
func behind(ranges []prefixRange, p layout.Prefix) (rest []prefixRange) {
	for _, at := range ranges {
		if at.Last > p {
			rest = append(rest, prefixRange{max(at.First, p+1), at.Last})
		}
	}
	return rest
}

// breakEpochs has the promises in ranges last for no epoch any more.
func (t *Tables) breakEpochs(ctx context.Context, ranges []prefixRange) error {
	open := map[layout.Prefix]floor{}
	note := func(p layout.Prefix, f floor) bool {
		if f.Epoch != 0 {
			open[p] = f
		}
		return true
	}
	err := t.store.View(func(r kv.Reader) error { return eachFloorIn(r, ranges, note) })
	if err != nil || len(open) == 0 {
		return err
	}
	return t.store.Update(ctx, func(w kv.Writer) error {
		clear(open)
		if err := eachFloorIn(w, ranges, note); err != nil {
			return err
		}
		for _, p := range slices.Sorted(maps.Keys(open)) {
			f := open[p]
			f.Epoch = 0
			if err := f.put(w, p); err != nil {
				return err
			}
		}
		return nil
	})
}

// prefixes are the first and the last hash prefix of a span of rows.
func (s Span) prefixes() (first, last layout.Prefix) {
	of := func(key []byte) layout.Prefix { return layout.Prefix(key[1])<<8 | layout.Prefix(key[2]) }
	pad := func(key []byte) []byte { return append(bytes.Clone(key), 0, 0) }
	first, last = of(pad(s.Lo)), layout.Prefix(1<<16-1)
	if len(s.Hi) > 0 && s.Hi[0] == localPrefix {
		if last = of(pad(s.Hi)); len(s.Hi) <= localHeadLen-1 && last > first {
			last--
		}
	}
	return first, last
}
