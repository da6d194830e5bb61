package table

import (
	"context"

	"granary/core/hlc"
	"granary/core/kv"
)

// Change runs f in one local transaction of this node and returns when it is durable. rows gives f the node's
// own rows of a partition key, whose merges reach other replicas only by somebody else's doing. The rules for
// f are those of kv.Store.Update.
func (t *Tables) Change(ctx context.Context, f func(rows func(pk []byte) *Tx) error) error {
	var after []func()
	err := t.store.Update(ctx, func(w kv.Writer) error {
		return f(func(pk []byte) *Tx {
			return t.txOn(w, pk, &after)
		})
	})
	return finish(after, err)
}

// txOn is for rows of a partition key in a transaction of this node.
func (t *Tables) txOn(w kv.Writer, pk []byte, after *[]func()) *Tx {
	return &Tx{Reader: *newReader(w, pk), w: w, registry: t.registry, room: t.room, after: after,
		floors: t.floors}
}

// finish runs what waited for a transaction to be durable.
func finish(after []func(), err error) error {
	if err == nil {
		for _, f := range after {
			f()
		}
	}
	return err
}

// Records are the node's own records, which are no rows: their keys begin with a byte below those of rows.
// They change in the same transaction.
func (tx *Tx) Records() kv.Writer { return tx.w }

// After calls f when the transaction is durable, if it comes to that. f must not wait.
func (tx *Tx) After(f func()) {
	if tx.after != nil {
		*tx.after = append(*tx.after, f)
	}
}

// ApplyRows merges rows of this transaction's partition key: what another replica sent, without votes or
// refusals.
func (tx *Tx) ApplyRows(rows []Row) error {
	quiet := *tx
	quiet.stampMax = hlc.Stamp(0)
	_, err := quiet.applyItem(rows)
	return err
}
