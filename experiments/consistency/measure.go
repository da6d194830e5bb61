package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"granary/core/auth"
	"granary/core/bucket"
	"granary/core/rt"
	"granary/core/table"
	"granary/netsim"
	"granary/sim/workload/wire"
	"granary/sim/world"
)

// Time one way between two sites: uniform, jitter to both sides of delay.
const (
	delay  = 50 * time.Millisecond
	jitter = 10 * time.Millisecond
)

// writer is the machine that coordinates all writes.
const writer = 1

// cell is what was seen at one level and one delay of the writing machine.
type cell struct {
	level  table.Consistency
	slow   time.Duration
	trials int

	back  int // second reads that saw an older value than the first, which had been answered
	stale int // reads that missed a write acknowledged before they began

	// Total times of reads at rest, of first and second reads, and of writes.
	rest, first, second, put time.Duration
}

func (c *cell) mean(total time.Duration) float64 {
	return total.Seconds() * 1000 / float64(max(c.trials, 1))
}

// site makes requests of one machine.
type site struct {
	w   *world.World
	at  int
	key bucket.Key
}

// measure runs the trials of a cell, one after another in one world of three sites with two machines each.
func (c *cell) measure(seed uint64) error {
	topology := netsim.Regular("sites", 3, 2, netsim.Path{Delay: delay, Jitter: jitter}, netsim.Path{})
	w, err := world.New(world.Default(seed, topology))
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.Form(); err != nil {
		return err
	}
	key, err := w.MakeBucket("bench")
	if err != nil {
		return err
	}
	sites := make([]site, len(w.Machines))
	for i := range sites {
		sites[i] = site{w, i, key}
		if w.Machines[i].Zone == w.Machines[writer].Zone {
			continue
		}
		err := w.Net.Model().Degrade(w.Machines[writer].Name, w.Machines[i].Name, netsim.Extra{Delay: c.slow})
		if err != nil {
			return err
		}
	}
	draw := rand.New(rand.NewPCG(seed, 0))
	return w.Do(24*time.Hour, func(ctx context.Context) error {
		for n := range c.trials {
			if err := c.trial(ctx, sites, draw, n); err != nil {
				return fmt.Errorf("%v, %v slow, trial %d: %w", c.level, c.slow, n, err)
			}
		}
		return nil
	})
}

// trial writes a new value. While that is under way it reads at any other machine and, when that is answered,
// at another site. After the write it reads at another site than the writer's.
func (c *cell) trial(ctx context.Context, sites []site, draw *rand.Rand, n int) error {
	env := sites[0].w.Env
	reader := other(draw, sites, func(s site) bool { return s.at != writer })
	second := other(draw, sites, func(s site) bool { return s.zone() != reader.zone() })
	third := other(draw, sites, func(s site) bool { return s.zone() != sites[writer].zone() })
	begin := time.Duration(draw.Int64N(int64(2*delay + c.slow)))
	group := rt.NewGroup(env, ctx)
	group.Go("write", func(ctx context.Context) error {
		took, err := sites[writer].write(c.level, n+1)
		if err != nil {
			return err
		}
		c.put += took
		later, _, err := third.read(c.level)
		if later != n+1 {
			c.stale++
		}
		return err
	})
	group.Go("read", func(ctx context.Context) error {
		if err := env.Sleep(ctx, begin); err != nil {
			return err
		}
		before, took, err := reader.read(c.level)
		if err != nil {
			return err
		}
		c.first += took
		after, took, err := second.read(c.level)
		c.second += took
		if after < before {
			c.back++
		}
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if err := env.Sleep(ctx, 4*delay+2*c.slow); err != nil {
		return err
	}
	_, took, err := reader.read(c.level)
	c.rest += took
	return err
}

// other draws a site that is allowed.
func other(draw *rand.Rand, sites []site, allowed func(site) bool) site {
	for {
		if s := sites[draw.IntN(len(sites))]; allowed(s) {
			return s
		}
	}
}

func (s site) zone() string { return s.w.Machines[s.at].Zone }

func (s site) write(level table.Consistency, value int) (took time.Duration, err error) {
	_, took, err = s.do(http.MethodPut, level, []byte(strconv.Itoa(value)))
	return took, err
}

// read returns the value, 0 if there is none.
func (s site) read(level table.Consistency) (value int, took time.Duration, err error) {
	body, took, err := s.do(http.MethodGet, level, nil)
	if err == nil && body != nil {
		value, err = strconv.Atoi(string(body))
	}
	return value, took, err
}

// do makes a signed request for the one object there is; the answer is nil if it is not there.
func (s site) do(method string, level table.Consistency, content []byte) (answer []byte, took time.Duration,
	err error) {
	env, handler, _ := s.w.Serve(s.at)
	req := wire.Request{Method: method, Target: "/bench/object", Host: "sim",
		Header: http.Header{"X-Granary-Consistency": {level.String()}}}
	if content != nil {
		req.Body, req.Length = bytes.NewReader(content), int64(len(content))
	}
	signer := auth.Signer{Key: auth.KeyID(s.key.ID), Secret: auth.Secret(s.key.Secret), Region: world.Region,
		Service: "s3"}
	if _, err := signer.Sign(&auth.Request{Method: method, Path: req.Target, Host: req.Host,
		Header: req.Header, ContentLength: req.Length}, s.w.Env.Wall(),
		auth.PayloadHash(auth.Unsigned, [32]byte{})); err != nil {
		return nil, 0, err
	}
	start := s.w.Sched.Now()
	client := wire.Client{Sched: s.w.Sched, Env: s.w.Env}
	got, err := client.Do(env, handler, req, time.Minute)
	if err != nil {
		return nil, 0, err
	}
	defer got.Close()
	answer, err = io.ReadAll(got.Body)
	took = s.w.Sched.Now() - start
	switch {
	case err != nil || got.Status == http.StatusOK:
		return answer, took, err
	case got.Status == http.StatusNotFound:
		return nil, took, nil
	}
	return nil, took, fmt.Errorf("%s: status %d: %s", method, got.Status, answer)
}
