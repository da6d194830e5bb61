package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"granary/core/api/k2v/client"
	"granary/core/auth"
	"granary/core/rt"
	"granary/netsim"
	"granary/sim/world"
)

// pause is the mean time between two writes of a client.
const pause = time.Second

// cell is what was seen of one item.
type cell struct {
	reads, values     int
	most, least, rest int // values: at most and at least in a read, and after a last merge
	refused           int // writes, because the item was full
}

func (c cell) mean() float64 { return float64(c.values) / float64(max(c.reads, 1)) }

// sites returns a world of three nodes at three sites, 100 ms of round trip apart, with a bucket, and what
// makes clients of them.
func sites(seed uint64) (*world.World, func(site int) *client.Client, error) {
	topology, err := netsim.Preset("3dc-100ms-flat")
	if err != nil {
		return nil, nil, err
	}
	w, err := world.New(world.Default(seed, topology))
	if err != nil {
		return nil, nil, err
	}
	if err := w.Form(); err != nil {
		w.Close()
		return nil, nil, err
	}
	key, err := w.MakeBucket("bucket")
	return w, func(site int) *client.Client {
		return &client.Client{HTTP: w.K2VDoer(site % len(w.Machines)), Endpoint: "http://sim",
			Bucket: "bucket",
			Region: world.Region, Key: auth.KeyID(key.ID), Secret: auth.Secret(key.Secret), Now: w.Env.Wall}
	}, err
}

// contend lets clients read and write one item, each at its own site, about once a second, and counts the
// values that their reads see. At the end one client reads and writes once more.
func contend(seed uint64, clients, writes int, tokens bool) (c cell, err error) {
	w, at, err := sites(seed)
	if err != nil {
		return c, err
	}
	defer w.Close()
	c.least = 1 << 30
	err = w.Do(time.Hour, func(ctx context.Context) error {
		g := rt.NewGroup(w.Env, ctx)
		for i := range clients {
			draw := rand.New(rand.NewPCG(seed, uint64(i)))
			g.Go("client", func(ctx context.Context) error {
				for n := range writes {
					w.Env.Sleep(ctx, time.Duration(draw.Int64N(int64(2*pause))))
					if err := c.write(ctx, at(i), fmt.Sprintf("%d of %d", n, i), tokens); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		if err := c.write(w.Env.Background(), at(0), "the end", tokens); err != nil {
			return err
		}
		item, err := at(1).Read(w.Env.Background(), "pk", "sk")
		c.rest = len(item.Values)
		return err
	})
	return c, err
}

// write reads the item and writes a value, with the token of what was read or without.
func (c *cell) write(ctx context.Context, k *client.Client, v string, tokens bool) error {
	item, err := k.Read(ctx, "pk", "sk")
	if err != nil && !errors.Is(err, client.ErrNoSuchItem) {
		return err
	}
	if n := len(item.Values); n > 0 {
		c.reads, c.values = c.reads+1, c.values+n
		c.most, c.least = max(c.most, n), min(c.least, n)
	}
	if !tokens {
		item.Token = ""
	}
	_, err = k.Insert(ctx, "pk", "sk", item.Token, client.Value(v))
	var refused *client.Error
	if errors.As(err, &refused) && refused.Code == "ItemFull" {
		c.refused++
		return nil
	}
	return err
}
