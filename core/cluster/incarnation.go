package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/codec"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/rt"
)

// ErrRolledBack means that a store is older than peers have seen it: a virtual machine was set back, or a
// disk restored, under the same store id. It has forgotten what it acknowledged, so it must not go on as
// itself.
var ErrRolledBack = errors.New("the store is older than what others have seen of it")

// Incarnation is a store between one start and the next.
type Incarnation struct {
	Store []byte `cbor:"1,keyasint"`           // id
	Boot  uint64 `cbor:"2,keyasint"`           // counts the starts of the store
	Nonce uint64 `cbor:"3,keyasint"`           // random: tells it from another that was the Boot-th too
	Seq   uint64 `cbor:"4,keyasint,omitempty"` // commits of the store, ever
}

// mark is the newest that was heard of the incarnations of a node's store.
type mark struct {
	Incarnation
	// Earlier is the greatest Seq of the incarnations before.
	Earlier uint64 `cbor:"5,keyasint,omitempty"`
}

var kindMark = codec.Register(0x03, 1, "mark of a peer's store")

// keyMarks begins the keys of marks; the peer's id follows.
var keyMarks = []byte("\x01cluster/mark/")

func markKey(peer rt.NodeID) []byte { return append(slices.Clone(keyMarks), peer[:]...) }

// markEvery is how often the progress of marks is stored. A new incarnation is stored at once.
const markEvery = 10 * time.Second

// heard is m after an incarnation said this of itself. What an older or a parallel life of the store says
// changes nothing: what is known stays, to be held against it.
func (m mark) heard(is Incarnation) mark {
	switch {
	case !bytes.Equal(m.Store, is.Store):
		return mark{Incarnation: is}
	case is.Boot > m.Boot:
		return mark{is, max(m.Earlier, m.Seq)}
	case is.Boot == m.Boot && is.Nonce == m.Nonce:
		m.Seq = max(m.Seq, is.Seq)
	}
	return m
}

// disowns says why a store cannot be the one that m is of, if it had base commits when it was first started
// since it was trusted; empty if it can.
func (m mark) disowns(is Incarnation, base uint64) string {
	earlier := m.Earlier
	switch {
	case !bytes.Equal(m.Store, is.Store):
		return "" // of the store before; the document tells which is the newer one
	case m.Boot > is.Boot:
		return fmt.Sprintf("it was started %d times, and this is the start number %d", m.Boot, is.Boot)
	case m.Boot == is.Boot && m.Nonce != is.Nonce:
		return fmt.Sprintf("its start number %d was another one", is.Boot)
	case m.Boot < is.Boot:
		earlier = max(earlier, m.Seq)
	}
	if earlier > base {
		return fmt.Sprintf("it had %d commits, and %d were here at the start", earlier, base)
	}
	return ""
}

// life is what a node knows of the incarnations of its own store and of others.
type life struct {
	is     func() Incarnation // nil: the store is not told apart
	base   uint64             // commits when it was first started since it was trusted
	known  bool               // the cluster knew this store at the start
	unsure bool               // not yet compared with enough others
	over   bool               // found to be rolled back
	kept   kv.Store
	renew  func(error)

	compared map[rt.NodeID]bool
	marks    map[rt.NodeID]mark
	dirty    map[rt.NodeID]bool // marks that are not stored
	wake     rt.Waiter          // a new incarnation is to be stored
}

func newLife(c Config) life {
	return life{is: c.Incarnation, base: c.Base, kept: c.Kept, renew: c.RolledBack,
		compared: map[rt.NodeID]bool{}, marks: map[rt.NodeID]mark{}, dirty: map[rt.NodeID]bool{},
		wake: c.Env.NewWaiter()}
}

// load reads the marks, and whether the store is to be compared first.
func (l *life) load(r kv.Reader, doc document, self rt.NodeID, store []byte) (err error) {
	g, _ := ReadGuard(r)
	l.unsure, l.known = g.Unsure, bytes.Equal(doc.standing(self).Store, store)
	r.Ascend(keyMarks, append(slices.Clone(keyMarks), 0xff), func(k, raw []byte) bool {
		var m mark
		if m, err = codec.Load[mark](raw, kindMark); err != nil {
			err = fmt.Errorf("mark of a peer's store: %w", err)
			return false
		}
		l.marks[rt.NodeID(k[len(keyMarks):])] = m
		return true
	})
	return err
}

// Started notes, in the transaction that counts a start of a node's store, that the store may have been set
// back since it was heard of last: until others said that it was not, it answers for nothing. The only store
// of everything has nobody to ask. It reports whether the store was trusted in its life before.
//
// Errors: codec.ErrCorrupt.
func Started(w kv.Writer, self rt.NodeID) (trusted bool, err error) {
	g, ok := ReadGuard(w)
	trusted = !g.Unsure
	data := w.Get(keyDocument)
	if !ok || data == nil {
		return trusted, nil
	}
	doc, err := codec.Load[document](data, kindDocument)
	if err != nil {
		return trusted, fmt.Errorf("cluster document: %w", err)
	}
	if g.Unsure = len(doc.witnesses(self)) > 0 && doc.comparisons(self) > 0; g.Unsure {
		g.Put(w)
	}
	return trusted, nil
}

// Heard is what a node's store has of a member's: which of its stores the document names, the first being 1,
// and the newest of the marks of that one, with the greatest Seq of all its incarnations. It is zero for a
// node that is in no cluster. For those who look at a store from outside.
//
// Errors: codec.ErrCorrupt.
func Heard(r kv.Reader, of rt.NodeID) (life uint64, newest Incarnation, err error) {
	data := r.Get(keyDocument)
	if data == nil {
		return 0, newest, nil
	}
	doc, err := codec.Load[document](data, kindDocument)
	if err != nil {
		return 0, newest, fmt.Errorf("cluster document: %w", err)
	}
	is := doc.standing(of)
	newest.Store = is.Store
	raw := r.Get(markKey(of))
	if raw == nil {
		return is.Life, newest, nil
	}
	m, err := codec.Load[mark](raw, kindMark)
	if err != nil {
		return 0, newest, fmt.Errorf("mark of a peer's store: %w", err)
	}
	if bytes.Equal(m.Store, is.Store) {
		newest = m.Incarnation
		newest.Seq = max(m.Seq, m.Earlier)
	}
	return is.Life, newest, nil
}

// witnesses are the other nodes that store: those that a node compares its store with.
func (d document) witnesses(self rt.NodeID) (nodes []rt.NodeID) {
	for _, v := range []*layout.Version{d.Layout, d.Before} {
		if v == nil || v == d.Before && !d.beforeLives() {
			continue
		}
		for _, id := range v.StorageNodes() {
			if id != self && !d.standing(id).Lost && d.present(id) && !slices.Contains(nodes, id) {
				nodes = append(nodes, id)
			}
		}
	}
	return nodes
}

// comparisons is with how many witnesses a node compares its store before it answers for it: W - 1, so that
// with itself there are as many as acknowledge a write; fewer if there are no more.
func (d document) comparisons(self rt.NodeID) int {
	if d.Layout == nil {
		return 0
	}
	return min(d.Layout.Params.WriteQuorum()-1, len(d.witnesses(self)))
}

// Pulse is what this node's pings say of its store: nothing while that is not trusted, since marks are of
// what the store has answered for.
func (c *Cluster) Pulse() (is Incarnation) {
	c.lock.Lock()
	unsure := c.life.unsure
	c.lock.Unlock()
	if c.life.is != nil && !unsure {
		is = c.life.is()
	}
	return is
}

// OnPulse takes in what a ping said of a member's store. It counts if the store is the one that the member
// has told the cluster of.
func (c *Cluster) OnPulse(from rt.NodeID, is Incarnation) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if is.Boot == 0 || !c.doc.present(from) || !bytes.Equal(c.doc.standing(from).Store, is.Store) {
		return
	}
	l := &c.life
	was := l.marks[from]
	m := was.heard(is)
	if m.Boot == was.Boot && m.Seq == was.Seq && m.Nonce == was.Nonce {
		return
	}
	l.marks[from], l.dirty[from] = m, true
	if m.Boot != was.Boot {
		l.wake.Unpark()
	}
}

// markOf is what is known of a peer's store; nil if nothing.
func (c *Cluster) markOf(peer rt.NodeID) *mark {
	c.lock.Lock()
	defer c.lock.Unlock()
	if m, ok := c.life.marks[peer]; ok {
		return &m
	}
	return nil
}

// keepMarks stores what is heard of others: new incarnations at once, their progress now and then.
func (c *Cluster) keepMarks(ctx context.Context) error {
	for {
		err := c.life.wake.ParkFor(ctx, markEvery)
		if err != nil && !errors.Is(err, rt.ErrTimeout) {
			return nil
		}
		if err := c.storeMarks(ctx); err != nil && ctx.Err() == nil {
			c.env.Warn("what was heard of other stores could not be stored", "err", err)
		}
	}
}

func (c *Cluster) storeMarks(ctx context.Context) error {
	c.lock.Lock()
	dirty := map[rt.NodeID]mark{}
	var ids []rt.NodeID
	for _, id := range c.doc.members() {
		if c.life.dirty[id] {
			ids, dirty[id] = append(ids, id), c.life.marks[id]
		}
	}
	clear(c.life.dirty)
	c.lock.Unlock()
	if len(ids) == 0 {
		return nil
	}
	return c.life.kept.Update(ctx, func(w kv.Writer) error {
		for _, id := range ids {
			sealed, err := codec.Seal(kindMark, 1, dirty[id])
			if err != nil {
				return err
			}
			w.Put(markKey(id), sealed)
		}
		return nil
	})
}

// compare holds what a peer has heard of this node's store against it. Once enough have said that it is no
// older, the store answers.
func (c *Cluster) compare(ctx context.Context, peer rt.NodeID, m *mark) error {
	l := &c.life
	if l.is == nil {
		return nil
	}
	is, doc := l.is(), c.document()
	why := ""
	if m != nil {
		why = m.disowns(is, l.base)
	}
	if store := doc.standing(c.env.Self()).Store; l.known && !bytes.Equal(store, c.storeID) {
		why = "another one took its place"
	}
	if why != "" && !c.env.Mutant("cluster: a store that was set back serves") {
		return c.rolledBack(fmt.Errorf("%w: %s, says %s", ErrRolledBack, why, c.Describe(peer)))
	}
	c.lock.Lock()
	l.compared[peer] = true
	n := 0
	for _, id := range doc.witnesses(c.env.Self()) {
		if l.compared[id] {
			n++
		}
	}
	sure := l.unsure && !l.over && n >= doc.comparisons(c.env.Self())
	c.lock.Unlock()
	if !sure {
		return nil
	}
	return c.trust(ctx)
}

// rolledBack has the node opened anew, with another store id, once.
func (c *Cluster) rolledBack(why error) error {
	c.lock.Lock()
	first := !c.life.over
	c.life.over, c.life.unsure = true, true
	c.lock.Unlock()
	if first {
		c.env.Sometimes("a store was set back", true)
		c.life.renew(why)
	}
	return why
}

// trust lets the store answer.
func (c *Cluster) trust(ctx context.Context) error {
	if err := c.write.Lock(ctx); err != nil {
		return err
	}
	defer c.write.Unlock()
	c.lock.Lock()
	c.life.unsure = false
	c.lock.Unlock()
	guard := c.guardOf(c.document())
	return c.store.Update(ctx, func(w kv.Writer) error { guard.Put(w); return nil })
}

// guardOf is what a document says for this node's store, and whether that has been compared.
func (c *Cluster) guardOf(doc document) Guard {
	g := doc.guard(c.env.Self(), c.storeID)
	c.lock.Lock()
	defer c.lock.Unlock()
	g.Unsure = c.life.unsure
	return g
}

// ask compares with all witnesses at once that it was not compared with yet, in the background.
func (c *Cluster) ask() {
	c.lock.Lock()
	unsure, compared := c.life.unsure, c.life.compared
	var peers []rt.NodeID
	for _, id := range c.doc.witnesses(c.env.Self()) {
		if unsure && !compared[id] {
			peers = append(peers, id)
		}
	}
	c.lock.Unlock()
	c.exchangeWith(peers, false)
}
