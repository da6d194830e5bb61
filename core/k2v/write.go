package k2v

import (
	"context"
	"errors"
	"fmt"
	"time"

	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/crdt"
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

var methodStore = rpc.NewMethod[storeRequest, storeResponse]("k2v.store", rpc.Meta)

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
