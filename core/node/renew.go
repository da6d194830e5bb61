package node

import (
	"context"
	"fmt"

	"granary/core/block"
	"granary/core/codec"
	"granary/core/kv"
	"granary/core/rt"
)

// Renew makes a store that was restored from a copy one of its own: it gets a new identity, by which peers
// tell it from the store that has acknowledged what the copy does not have, and forgets the blocks that the
// disk does not have any more. The node must not run. It returns how many blocks were forgotten.
//
// Errors: of the store and the disk; the store must then not be used.
func Renew(ctx context.Context, env rt.Env, store kv.Store, disk block.Disk) (gone int, err error) {
	if gone, err = block.Forget(ctx, store, disk); err != nil {
		return gone, fmt.Errorf("compare the store with the blocks on the disk: %w", err)
	}
	sealed, err := codec.Seal(kindStore, 1, storeIdentity{ID: env.Secret(16), Boot: 1})
	if err == nil {
		err = store.Update(ctx, func(w kv.Writer) error { w.Put(keyStore, sealed); return nil })
	}
	if err != nil {
		return gone, fmt.Errorf("give the store an identity: %w", err)
	}
	return gone, nil
}
