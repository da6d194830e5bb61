package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/cluster"
	"granary/core/codec"
	"granary/core/hlc"
	"granary/core/job"
	"granary/core/kv"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
)

// MendJob is what the job is called that repairs rows which cannot be read.
const MendJob = "row-repair"

const (
	// mendWait is how long a row stays unreadable before it is repaired: half as long again as the longest
	// deadline of a write, so that all that counted an answer which it held is decided.
	mendWait = WriteTimeout * 3 / 2
	// mendRetry is the pause after a repair that failed.
	mendRetry = time.Minute
	// mendMax bounds the rows that wait for repair. More are found again when they are read again.
	mendMax = 4096
)

// ErrUnreadable means that a stored row fails its checksum: what it said is not known here, and it is not
// absent. The replica neither answers for it nor votes on it until it has it from others.
var ErrUnreadable = rpc.RegisterError("table.unreadable", errors.New("unreadable row"))

// unreadable is an ErrUnreadable with the row's local key.
type unreadable struct {
	key []byte
	err error
}

// Error implements error.
func (u *unreadable) Error() string { return fmt.Sprintf("%v: %v", ErrUnreadable, u.err) }

// Unwrap returns kind and cause.
func (u *unreadable) Unwrap() []error { return []error{ErrUnreadable, u.err} }

// atKey adds to the error of reading a row where it is.
func atKey(key []byte, err error) error {
	if !errors.Is(err, codec.ErrCorrupt) {
		return err
	}
	return &unreadable{bytes.Clone(key), err}
}

// watchedStore is a store of which every transaction tells the rows that it could not read.
type watchedStore struct {
	kv.Store
	found func(key []byte)
}

// View implements kv.Store.
func (s watchedStore) View(f func(kv.Reader) error) error { return s.tell(s.Store.View(f)) }

// Update implements kv.Store.
func (s watchedStore) Update(ctx context.Context, f func(kv.Writer) error) error {
	return s.tell(s.Store.Update(ctx, f))
}

func (s watchedStore) tell(err error) error {
	if u := (*unreadable)(nil); errors.As(err, &u) {
		s.found(u.key)
	}
	return err
}

// mender repairs rows of this node that cannot be read, from those of the other replicas.
type mender struct {
	t     *Tables
	job   *job.Job
	bell  rt.Waiter
	lock  rt.Locker
	queue []mending // the next one first
}

// mending is a row to be repaired.
type mending struct {
	key []byte
	due time.Duration
}

func newMender(t *Tables, jobs *job.Book) *mender {
	return &mender{t: t, job: jobs.New(MendJob, "rows that could not be read"), bell: t.env.NewWaiter(),
		lock: t.env.NewLock()}
}

// found queues a row.
func (m *mender) found(key []byte) {
	m.lock.Lock()
	again := len(m.queue) == mendMax ||
		slices.ContainsFunc(m.queue, func(q mending) bool { return bytes.Equal(q.key, key) })
	first := len(m.queue) == 0
	if !again {
		m.queue = append(m.queue, mending{key, m.t.env.Now() + mendWait})
	}
	m.lock.Unlock()
	if again {
		return
	}
	m.t.env.Error("a row cannot be read and will be repaired from other replicas; check the disk",
		"key", fmt.Sprintf("%.80x", key))
	m.t.env.Count("table_unreadable_total", 1)
	m.t.env.Sometimes("unreadable row found", true)
	if first {
		m.job.Begin(1)
	} else {
		m.job.Expect(1)
	}
	m.bell.Unpark()
}

// full reports whether no more rows can be queued.
func (m *mender) full() bool {
	m.lock.Lock()
	defer m.lock.Unlock()
	return len(m.queue) >= mendMax
}

// run repairs rows until the node stops.
func (m *mender) run(ctx context.Context) error {
	for ctx.Err() == nil {
		next, some := m.first()
		if !some {
			m.bell.Park(ctx)
			continue
		}
		if wait := next.due - m.t.env.Now(); wait > 0 && m.t.env.Sleep(ctx, wait) != nil {
			return nil
		}
		if m.job.Gate(ctx) != nil {
			return nil
		}
		if err := m.t.mend(ctx, next.key); ctx.Err() == nil {
			m.tried(next, err)
		}
	}
	return nil
}

// first is the row to be repaired next.
func (m *mender) first() (next mending, some bool) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if len(m.queue) == 0 {
		return mending{}, false
	}
	return m.queue[0], true
}

// tried takes the first row out of the queue, or puts it last if it could not be repaired.
func (m *mender) tried(row mending, err error) {
	m.job.Hinder(err)
	m.lock.Lock()
	if m.queue = m.queue[1:]; err != nil {
		m.queue = append(m.queue, mending{row.key, m.t.env.Now() + mendRetry})
	}
	m.lock.Unlock()
	if err == nil {
		m.job.Add(1)
	}
}

// mend reads the row at a local key from a read quorum of other replicas and puts the join in its place. If
// it was a part, and none of them has it, then what needs it here has been acknowledged by too few: it goes
// the same way, or it would spread without the part.
func (t *Tables) mend(ctx context.Context, key []byte) error {
	s, err := t.registry.schema(ID(key[localHeadLen-1]))
	if err != nil {
		return err
	}
	_, name, n := s.describe()
	at := Address{key[localHeadLen : localHeadLen+n], key[localHeadLen+n:]}
	view, err := t.view(at.PK)
	if s.fullCopy() {
		view, err = t.topology.FullView()
	}
	if err != nil {
		return err
	}
	value, err := t.readOthers(ctx, s, view, key)
	var with *parted
	if err == nil && value == nil {
		with, err = t.parted(ctx, s, view, at)
	}
	if err != nil {
		return fmt.Errorf("repair a row of table %s: %w", name, err)
	}
	return t.Change(ctx, func(rows func([]byte) *Tx) error {
		tx := rows(at.PK)
		stored := tx.w.Get(key)
		if stored == nil {
			return nil
		}
		if _, err := s.unseal(stored); err == nil {
			return nil
		}
		t.env.Count("table_mended_total", 1)
		t.env.Sometimes("unreadable row repaired", true)
		if err := s.replace(tx, key, stored, value); err != nil || with == nil {
			return err
		}
		return with.replace(tx)
	})
}

// parted is a row of which a part is nowhere.
type parted struct {
	schema
	key    []byte
	stored []byte // here
	value  []byte // the join of the others'; nil if they have none
}

// errChanged means that a row was changed while it was read elsewhere.
var errChanged = errors.New("changed while it was repaired")

// parted reads the row that needs a part from the others, nil if none does.
func (t *Tables) parted(ctx context.Context, s schema, view cluster.View, part Address) (p *parted,
	err error) {
	err = t.Local(part.PK, func(r *Reader) error {
		id, sort, needed, err := s.partOf(r, part)
		if err != nil || !needed {
			return err
		}
		p = &parted{stored: bytes.Clone(r.stored(id, sort)), key: bytes.Clone(r.key)}
		p.schema, err = t.registry.schema(id)
		return err
	})
	if p == nil || err != nil {
		return nil, err
	}
	p.value, err = t.readOthers(ctx, p.schema, view, p.key)
	return p, err
}

// replace puts what others have in the place of the row.
func (p *parted) replace(tx *Tx) error {
	if !bytes.Equal(tx.w.Get(p.key), p.stored) {
		return errChanged
	}
	return p.schema.replace(tx, p.key, p.stored, p.value)
}

// readOthers joins a row over a read quorum of the replicas but this one, since one of them may have missed
// what this one had acknowledged; nil if none of them has it.
func (t *Tables) readOthers(ctx context.Context, s schema, view cluster.View, key []byte) (value []byte,
	err error) {
	set := view.ReadSet()
	others := slices.DeleteFunc(slices.Clone(set.Nodes), func(n rt.NodeID) bool { return n == t.env.Self() })
	if len(others) == 0 {
		return nil, fmt.Errorf("%w: no other node has a replica", ErrUnreadable)
	}
	req := &rowRequest{Key: key, Plan: view.Plan()}
	round := quorum.Start(ctx, t.quorum, t.topology.Nearest(others), 0,
		func(ctx context.Context, to rt.NodeID) (*rowResponse, error) {
			ctx, cancel := t.env.WithTimeout(ctx, ReadTimeout)
			defer cancel()
			return methodRow.Call(ctx, t.endpoint, to, req)
		})
	defer round.Close()
	var fails []error
	got := map[rt.NodeID]bool{}
	var gone hlc.Stamp
	for !set.Reads(func(n rt.NodeID) bool { return got[n] }) {
		reply, err := round.Next(ctx, 0)
		if err != nil {
			return nil, errors.Join(append(fails, err)...)
		}
		if reply.Err != nil {
			fails = append(fails, fmt.Errorf("%s: %w", t.topology.Describe(reply.Node), reply.Err))
			continue
		}
		got[reply.Node] = true
		switch theirs := reply.Value.Value; {
		case theirs == nil:
			gone = max(gone, reply.Value.Floor)
		case value == nil:
			value = theirs
		default:
			if value, err = s.join(value, theirs); err != nil {
				return nil, err
			}
		}
	}
	if value != nil {
		above, left, err := s.above(value, gone)
		if err != nil || !left {
			return nil, err
		}
		value = above
	}
	return value, nil
}

// rowRequest asks for the row at a local key.
type rowRequest struct {
	Key  []byte       `cbor:"1,keyasint"`
	Plan cluster.Plan `cbor:"2,keyasint,omitzero"`
}

type rowResponse struct {
	Value []byte `cbor:"1,keyasint,omitempty"` // absent: there is none
	// Floor, if there is none, says up to which age it is gone.
	Floor hlc.Stamp `cbor:"2,keyasint,omitempty"`
}

var methodRow = rpc.NewMethod[rowRequest, rowResponse]("table.row", rpc.Meta)

func (t *Tables) handleRow(_ context.Context, _ rt.NodeID, req *rowRequest) (*rowResponse, error) {
	if len(req.Key) <= localHeadLen || req.Key[0] != localPrefix {
		return nil, fmt.Errorf("local key %.80x: %w", req.Key, ErrMalformedRow)
	}
	s, err := t.registry.schema(ID(req.Key[localHeadLen-1]))
	if err != nil {
		return nil, err
	}
	id, _, n := s.describe()
	if len(req.Key) < localHeadLen+n {
		return nil, fmt.Errorf("local key %.80x: %w", req.Key, ErrMalformedRow)
	}
	resp := &rowResponse{}
	return resp, t.store.View(func(r kv.Reader) error {
		if err := cluster.AdmitRead(t.env, r, req.Plan); err != nil {
			return err
		}
		if stored := r.Get(req.Key); stored != nil {
			row, err := s.unseal(stored)
			resp.Value = bytes.Clone(row)
			return atKey(req.Key, err)
		}
		absent, err := newReader(r, req.Key[localHeadLen:localHeadLen+n]).absence()
		resp.Floor = absent.floor(id, req.Key[localHeadLen+n:])
		return err
	})
}

// replace implements schema: it puts a row in the place of one that cannot be read, or removes that if value
// is nil. Applied does not run: the replica has followed the row before, as the others did, and only forgot
// what it said.
func (t *Table[T]) replace(tx *Tx, key, stored, value []byte) error {
	at := Address{tx.pk, key[localHeadLen+t.def.PKLen:]}
	was := t.unreadableDigest(tx, key, stored)
	var is Digest
	var row *T
	if value == nil {
		tx.w.Delete(key)
	} else {
		v, err := t.Decode(value)
		if err != nil {
			return err
		}
		if is, err = t.put(tx, at, key, value, v); err != nil {
			return err
		}
		row = &v
	}
	if !t.def.Derived {
		tracker{tx.w}.change(t, key, was, is)
	}
	if t.def.Mended == nil {
		return nil
	}
	if err := t.def.Mended(tx, at, row); !errors.Is(err, ErrUnreadable) {
		return err
	}
	return nil
}

// partOf implements schema.
func (t *Table[T]) partOf(r *Reader, at Address) (table ID, sort []byte, needed bool, err error) {
	if t.def.PartOf == nil {
		return 0, nil, false, nil
	}
	return t.def.PartOf(r, at)
}

// put stores a row that others have, of which this replica has no votes, and returns its digest.
func (t *Table[T]) put(tx *Tx, at Address, key, value []byte, v T) (is Digest, err error) {
	rec := record{Row: value}
	if t.def.Head != nil {
		rec.Forgot = t.def.Head(v).Stamp
	}
	if t.def.Parts != nil {
		whole, err := t.def.Parts(&tx.Reader, at, v, func(Row) {})
		if err != nil && !errors.Is(err, ErrUnreadable) { // the repair of a part may wait for this one
			return is, err
		}
		rec.Lacks = !whole
	}
	sealed, err := codec.Seal(t.def.Kind, t.def.Version, rec)
	if err != nil {
		return is, err
	}
	tx.w.Put(key, sealed)
	return rowDigest(key, value, rec.Lacks), nil
}

// unreadableDigest is what a row that cannot be read counts as in the digests, once they count it so: until
// then they have what it was before.
func (t *Table[T]) unreadableDigest(tx *Tx, key, stored []byte) Digest {
	was := t.digestOf(key, stored)
	if !t.def.Derived {
		tracker{tx.w}.recount(t, key, was)
	}
	return was
}

// recount makes the digests right again that a row at key counts in, after rows there, it or others of its
// span, changed behind their back. own is what they are to count that row as, whatever is stored now.
//
// Cost: a walk over a span, and over the digests of all broad spans of the group if it is before the first.
func (t tracker) recount(s schema, key []byte, own Digest) {
	group := groupOf(key)
	end := successor(group)
	from, kept := group, decodeDigest(t.w.Get(digestKey(levelGroup, group)))
	if at := t.holder(levelSpan, key); at != nil {
		from, kept = rowKeyOf(at), decodeDigest(t.w.Get(at))
	} else {
		broad := boundary(t.w, levelBroad, group, end)
		kept = kept.sub(sumNodes(t.w, levelSpan, group, broad)).sub(sumNodes(t.w, levelBroad, broad, end))
	}
	is := own
	t.w.Ascend(from, boundary(t.w, levelSpan, append(bytes.Clone(key), 0), end), func(k, stored []byte) bool {
		if !bytes.Equal(k, key) {
			is = is.add(s.digestOf(k, stored))
		}
		return true
	})
	delta := is.sub(kept)
	if delta == (Digest{}) {
		return
	}
	t.bump(digestKey(levelGroup, group), delta, false)
	for level := levelSpan; level <= levelBroad; level++ {
		if at := t.holder(level, key); at != nil {
			t.bump(at, delta, true)
		}
	}
}

// holder is where the digest is kept of the span that a row is in or begins, nil if there is none.
func (t tracker) holder(level int, key []byte) (at []byte) {
	t.w.Descend(digestKey(level, groupOf(key)), append(digestKey(level, key), 0), func(k, _ []byte) bool {
		at = bytes.Clone(k)
		return false
	})
	return at
}
