package client

import (
	"context"
	"errors"
)

// Update reads an item, makes one value of its values by merge, and writes that with the token of what was
// read. If others wrote meanwhile, their values stay beside it, until a later Update merges them: nothing
// is lost, and nobody waits. merge gets the values as they are, none if the item was never written; a nil
// result deletes.
//
// Errors: those of Read and Insert.
func (c *Client) Update(ctx context.Context, pk, sk string, merge func([]Value) Value) (Token, error) {
	item, err := c.Read(ctx, pk, sk)
	if err != nil && !errors.Is(err, ErrNoSuchItem) {
		return "", err
	}
	return c.Insert(ctx, pk, sk, item.Token, merge(item.Values))
}
