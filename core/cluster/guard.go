package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"granary/core/kv"
	"granary/core/layout"
	"granary/core/rpc"
	"granary/core/rt"
)

// Kinds of refusals of what was planned with an old layout, for errors.Is.
var (
	// ErrOldLayout means that a request was planned with a layout that is out of date at the replica. Whoever
	// made it learns the newer one and sends it again, with the same stamp.
	ErrOldLayout = rpc.RegisterError("cluster.old_layout", errors.New("planned with an old layout"))
	// ErrSyncing means that a replica does not know all that was acknowledged, and cannot answer for it.
	ErrSyncing = rpc.RegisterError("cluster.syncing", errors.New("the replica is not in sync yet"))
)

// Plan is what a coordinator says of the layouts that it planned a request with.
type Plan struct {
	// Newest is the newest version that it knows: it sends to the sets of all that are live then.
	Newest uint64 `cbor:"1,keyasint,omitempty"`
	// Anchor is the version by whose set it decides: reads ask it, and it votes on writes.
	Anchor uint64 `cbor:"2,keyasint,omitempty"`
	// Turn is that of the part of the keys in the change to Newest; 0 if the coordinator knows of no change.
	Turn int `cbor:"3,keyasint,omitempty"`
}

// Least is a plan that no replica takes which would refuse p or o.
func (p Plan) Least(o Plan) Plan {
	least := Plan{min(p.Newest, o.Newest), min(p.Anchor, o.Anchor), p.Turn}
	if o.Anchor < p.Anchor || o.Anchor == p.Anchor && o.Turn < p.Turn {
		least.Turn = o.Turn
	}
	return least
}

// Guard is what a replica holds a request against, read in the request's own transaction. It is a part of the
// store, and changes with the document.
type Guard struct {
	// Newest is the fence: what this replica knows as the newest version. Writes of coordinators that do not
	// know it are refused, since they may not reach its sets.
	Newest uint64
	// Closed is the read fence: what is anchored in an older version is refused.
	Closed uint64
	// Since and Synced are the first and the newest version of whose sets this store knows all that was
	// acknowledged.
	Since, Synced uint64
	// SyncedTurn and ClosedTurn say more of the change to Newest: up to which turn this store knows all
	// that was acknowledged in the set of Newest, and what is anchored in an older one is refused.
	SyncedTurn, ClosedTurn int
	// Unsure says that the store was started and not compared yet with what others have heard of it: it may
	// have been set back, and answers for nothing.
	Unsure bool
	// Amnesiac says that the store took the place of one that was lost, and is not in sync yet: it may have
	// voted, and does not know how.
	Amnesiac bool
}

// guardLen is the length of a guard's record:
//
//	newest, 8 bytes | closed, 8 | since, 8 | synced, 8 | flags, 1: 1 amnesiac, 2 unsure | synced turn, 1 |
//	closed turn, 1
const guardLen = 35

// Put makes g the guard of a store.
func (g Guard) Put(w kv.Writer) { w.Put(keyGuard, g.encode()) }

func (g Guard) encode() []byte {
	raw := make([]byte, 0, guardLen)
	for _, n := range []uint64{g.Newest, g.Closed, g.Since, g.Synced} {
		raw = binary.BigEndian.AppendUint64(raw, n)
	}
	var flags byte
	if g.Amnesiac {
		flags |= flagAmnesiac
	}
	if g.Unsure {
		flags |= flagUnsure
	}
	return append(raw, flags, byte(g.SyncedTurn), byte(g.ClosedTurn))
}

const (
	flagAmnesiac = 1 << iota
	flagUnsure
)

// ReadGuard returns the guard of a store; ok is false if the store's node belongs to no cluster, so that no
// peer may ask it for anything.
func ReadGuard(r kv.Reader) (g Guard, ok bool) {
	raw := r.Get(keyGuard)
	if len(raw) != guardLen {
		return g, false
	}
	g.Newest, g.Closed = binary.BigEndian.Uint64(raw), binary.BigEndian.Uint64(raw[8:])
	g.Since, g.Synced = binary.BigEndian.Uint64(raw[16:]), binary.BigEndian.Uint64(raw[24:])
	g.Amnesiac, g.Unsure = raw[32]&flagAmnesiac != 0, raw[32]&flagUnsure != 0
	g.SyncedTurn, g.ClosedTurn = int(raw[33]), int(raw[34])
	return g, true
}

// AdmitWrite refuses a coordinator's write that was planned with an old layout, in the transaction of the
// write. inSync says whether this replica can vote on it.
//
// Errors: ErrOldLayout.
func AdmitWrite(env rt.Env, r kv.Reader, p Plan) (inSync bool, err error) {
	g, ok := ReadGuard(r)
	if !ok {
		return true, nil
	}
	if p.Newest < g.Newest && !env.Mutant("layout: no fence") {
		env.Sometimes("fence refused a write", true)
		return false, fmt.Errorf("%w: version %d, and %d is here", ErrOldLayout, p.Newest, g.Newest)
	}
	return g.admit(env, p)
}

// AdmitRead refuses a read that asks a set which is not to be asked any more, or a replica whose answer does
// not count, in the transaction that reads: between it and another the guard may change.
//
// Errors: ErrOldLayout, ErrSyncing.
func AdmitRead(env rt.Env, r kv.Reader, p Plan) error {
	g, ok := ReadGuard(r)
	if !ok {
		return nil
	}
	inSync, err := g.admit(env, p)
	if err == nil && !inSync {
		return fmt.Errorf("%w: with version %d", ErrSyncing, p.Anchor)
	}
	return err
}

func (g Guard) admit(env rt.Env, p Plan) (inSync bool, err error) {
	if err := g.open(p); err != nil && !env.Mutant("layout: no read fence") {
		env.Sometimes("read fence refused a request", true)
		return false, err
	}
	inSync = g.holds(env, p)
	env.Sometimes("replica was not in sync", !inSync)
	return inSync, nil
}

// open refuses what is anchored in a set that is closed here. Who knows of no change, or of another one,
// cannot say in which turn of this one a part is: any may be closed.
func (g Guard) open(p Plan) error {
	turn := p.Turn
	if p.Newest != g.Newest {
		turn = 0
	}
	switch {
	case p.Anchor < g.Closed:
		return fmt.Errorf("%w: version %d, and here it is closed for %d", ErrOldLayout, p.Anchor, g.Closed)
	case p.Anchor < g.Newest && turn <= g.ClosedTurn && g.ClosedTurn > 0:
		return fmt.Errorf("%w: version %d, and here it is closed for %d up to turn %d", ErrOldLayout,
			p.Anchor, g.Newest, g.ClosedTurn)
	}
	return nil
}

// holds reports whether the store can answer for the sets that a plan is anchored in. What it took over for a
// later version need not be what an earlier one gave it.
func (g Guard) holds(env rt.Env, p Plan) bool {
	if env.Mutant("layout: a syncing store votes") ||
		env.Mutant("layout: in sync backwards") && p.Anchor <= g.Synced {
		return true
	}
	s := standing{Since: g.Since, Synced: g.Synced}
	if p.Newest == g.Newest {
		s.Partly = stretch{g.Newest, g.SyncedTurn}
		if env.Mutant("layout: in sync a turn early") {
			s.Partly.Turn++
		}
	}
	return !g.Unsure && s.holds(p.Anchor, p.Turn)
}

// FullSync returns the first and the last version of whose full-copy tables the store knows all that was
// acknowledged, one after the other; last is 0 if there is none, or it cannot answer for anything.
func (g Guard) FullSync() (first, last uint64) {
	s := standing{Since: g.Since, Synced: g.Synced}
	switch {
	case g.Unsure:
		return 0, 0
	case layout.FullTurn <= g.SyncedTurn:
		s = s.inSync(g.Newest)
	}
	return s.Since, s.Synced
}

// Source is what a node wants of a replica whose rows it takes over: that it knows version Fenced, so that
// nobody writes to it any more who does not, and that it is in sync with version Synced, of whose set it is
// asked as a member.
type Source struct {
	Fenced uint64 `cbor:"1,keyasint"`
	Synced uint64 `cbor:"2,keyasint"`
	// Turn is that of what it is asked for in the change to Fenced, as in a Plan.
	Turn int `cbor:"3,keyasint,omitempty"`
}

// plan is that of a request whose set is the one that the source is asked as a member of.
func (s Source) plan() Plan { return Plan{Newest: s.Fenced, Anchor: s.Synced, Turn: s.Turn} }

// AdmitSync refuses to be the source of what another replica has to hold, in the transaction that reads it. A
// zero Source wants nothing: replicas that compare their rows may be in any state. A replica that is
// closed for the set it is asked as a member of may have missed what was acknowledged without that set.
//
// Errors: ErrOldLayout if the fence is not up, or the set is closed here; ErrSyncing.
func AdmitSync(env rt.Env, r kv.Reader, s Source) error {
	g, ok := ReadGuard(r)
	switch {
	case !ok, s == Source{}:
		return nil
	case g.Newest < s.Fenced && !env.Mutant("layout: fence after push"):
		return fmt.Errorf("%w: version %d is not here yet", ErrOldLayout, s.Fenced)
	case g.open(s.plan()) != nil && !env.Mutant("layout: taken over from the closed"):
		return g.open(s.plan())
	case !g.holds(env, s.plan()):
		return fmt.Errorf("%w: with version %d", ErrSyncing, s.Synced)
	}
	return nil
}

// guard is what the document says for the store of a node.
func (d document) guard(self rt.NodeID, store []byte) Guard {
	s := d.standing(self)
	g := Guard{Newest: d.number(), Closed: max(s.Closed, d.Settled)}
	if bytes.Equal(s.Store, store) {
		g.Since, g.Synced = s.Since, s.Synced
		if d.beforeLives() && s.Partly.Version == g.Newest {
			g.SyncedTurn = s.Partly.Turn
		}
	}
	if d.beforeLives() && s.Closing.Version == g.Newest {
		g.ClosedTurn = s.Closing.Turn
	}
	g.Amnesiac = g.Synced == 0 && (s.Life > 1 || !bytes.Equal(s.Store, store) && s.Life > 0)
	return g
}

// reborn is the standing of a node that has a store of this id: a life more, if it is not the one that is
// known.
func (d document) reborn(id rt.NodeID, store []byte) standing {
	s := d.standing(id)
	if s.Life > 0 && bytes.Equal(s.Store, store) {
		return standing{}
	}
	return standing{Life: s.Life + 1, Store: store}
}

// InSync reports whether a store knows all that was acknowledged, to the sets of the newest version that is
// known to it.
func InSync(env rt.Env, r kv.Reader) bool {
	g, ok := ReadGuard(r)
	return !ok || g.holds(env, Plan{Newest: g.Newest, Anchor: g.Newest})
}

// AdmitSettled refuses what all replicas of the only live set have to take part in: at one that is not in
// sync, or knows that the layout is being changed or is another than that of a version.
//
// Errors: ErrOldLayout, ErrSyncing.
func AdmitSettled(env rt.Env, r kv.Reader, version uint64) error {
	g, ok := ReadGuard(r)
	switch {
	case !ok:
		return nil
	case g.Newest != version || g.Closed < version:
		return fmt.Errorf("%w: version %d, and %d is here, %d settled", ErrOldLayout, version, g.Newest,
			g.Closed)
	case !g.holds(env, Plan{Newest: version, Anchor: version}):
		return fmt.Errorf("%w: with version %d", ErrSyncing, version)
	}
	return nil
}
