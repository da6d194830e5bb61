package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"granary/core/block"
	"granary/core/cluster"
	"granary/core/codec"
	"granary/core/kv"
)

// keyCommits is where the number of updates of the store is kept.
var keyCommits = []byte("\x01node/commits")

// counted is a store that counts its updates, in the updates themselves: peers that have heard of a greater
// count know that the store was set back.
type counted struct {
	kv.Store
	commits atomic.Uint64 // durable
}

// Update implements kv.Store. An update that writes nothing does not count.
func (s *counted) Update(ctx context.Context, f func(kv.Writer) error) error {
	var n uint64
	err := s.Store.Update(ctx, func(w kv.Writer) error {
		noting := &notingWriter{Writer: w}
		if err := f(noting); err != nil || !noting.wrote {
			return err
		}
		n = commitsOf(w) + 1
		w.Put(keyCommits, binary.BigEndian.AppendUint64(nil, n))
		return nil
	})
	if err != nil {
		return err
	}
	for was := s.commits.Load(); was < n && !s.commits.CompareAndSwap(was, n); {
		was = s.commits.Load()
	}
	return nil
}

// notingWriter notes whether something is written.
type notingWriter struct {
	kv.Writer
	wrote bool
}

// Put implements kv.Writer.
func (w *notingWriter) Put(key, value []byte) { w.wrote = true; w.Writer.Put(key, value) }

// Delete implements kv.Writer.
func (w *notingWriter) Delete(key []byte) { w.wrote = true; w.Writer.Delete(key) }

// commitsOf is the number of updates that a store has counted; a count that cannot be read is 0, so that the
// store passes for one that was set back.
func commitsOf(r kv.Reader) uint64 {
	if raw := r.Get(keyCommits); len(raw) == 8 {
		return binary.BigEndian.Uint64(raw)
	}
	return 0
}

// StoreOf is what a store says of itself at the moment, which its node may have told others.
//
// Errors: codec.ErrCorrupt.
func StoreOf(r kv.Reader) (is cluster.Incarnation, err error) {
	raw := r.Get(keyStore)
	if raw == nil {
		return is, nil
	}
	s, err := codec.Load[storeIdentity](raw, kindStore)
	if err != nil {
		return is, fmt.Errorf("store identity: %w", err)
	}
	return cluster.Incarnation{Store: s.ID, Boot: s.Boot, Nonce: s.Nonce, Seq: commitsOf(r)}, nil
}

// incarnation is what others are told of the store.
func (n *Node) incarnation() cluster.Incarnation {
	return cluster.Incarnation{Store: n.store.ID, Boot: n.store.Boot, Nonce: n.store.Nonce,
		Seq: n.kv.commits.Load()}
}

// rolledBack makes the store one that was never heard of, and has the node opened anew: like a store that was
// lost, it takes over what others have.
func (n *Node) rolledBack(why error) {
	n.env.Error("the store was set back: it gets a new identity, and the node is to be started again", "err",
		why)
	n.group.Go("renew store", func(ctx context.Context) error {
		sealed, err := codec.Seal(kindStore, 1, storeIdentity{ID: n.env.Secret(16), Forget: true})
		if err == nil {
			err = n.kv.Store.Update(ctx, func(w kv.Writer) error {
				w.Put(keyStore, sealed)
				_, err := cluster.Started(w, n.env.Self()) // it answers for nothing from here on
				return err
			})
		}
		n.end(errors.Join(why, err))
		return nil
	})
}

// forget drops the records of blocks that the disk of a store that was set back does not have.
func (n *Node) forget(ctx context.Context, disk block.Disk) error {
	if !n.store.Forget {
		return nil
	}
	if _, err := block.Forget(ctx, n.kv, disk); err != nil {
		return err
	}
	n.store.Forget = false
	return n.storeIdentity(ctx)
}
