package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"granary/core/auth"
	"granary/core/bucket"
	"granary/experiments/baseline/site"
	"granary/netsim"
	"granary/sim/workload/wire"
	"granary/sim/world"
)

// openGranary forms a cluster of all machines of the topology; the client speaks S3 to the first one of its
// site.
func openGranary(p params, t netsim.Topology) (*store, error) {
	w, err := world.New(world.Default(p.seed, t))
	if err != nil {
		return nil, err
	}
	if err := w.Form(); err != nil {
		return nil, errors.Join(err, w.Sched.Failure())
	}
	key, err := w.MakeBucket("bench")
	if err != nil {
		return nil, err
	}
	zones := map[string][]int{}
	var order []string
	for i, m := range w.Machines {
		if zones[m.Zone] == nil {
			order = append(order, m.Zone)
		}
		zones[m.Zone] = append(zones[m.Zone], i)
	}
	s3 := &s3client{world: w, at: zones[order[client]][0], key: key, value: make([]byte, p.bytes)}
	failing := zones[order[0]]
	return &store{
		name: "granary", sched: w.Sched, env: w.Env, run: w.Do, request: s3.request,
		fail: func() {
			for _, i := range failing {
				w.Crash(w.Machines[i])
			}
		},
		restore: func() {
			for _, i := range failing {
				w.Boot(w.Machines[i])
			}
		},
	}, nil
}

// s3client makes signed requests of one machine.
type s3client struct {
	world *world.World
	at    int
	key   bucket.Key
	value []byte
}

func (c *s3client) request(operation, key string) error {
	env, handler, up := c.world.Serve(c.at)
	if !up {
		return errors.New("the machine is down")
	}
	req := wire.Request{Method: operation, Target: "/bench/" + key, Host: "sim", Header: http.Header{}}
	if operation == put {
		req.Body, req.Length = bytes.NewReader(c.value), int64(len(c.value))
	}
	signer := auth.Signer{Key: auth.KeyID(c.key.ID), Secret: auth.Secret(c.key.Secret), Region: world.Region,
		Service: "s3"}
	_, err := signer.Sign(&auth.Request{Method: req.Method, Path: req.Target, Host: req.Host,
		Header: req.Header, ContentLength: req.Length}, c.world.Env.Wall(),
		auth.PayloadHash(auth.Unsigned, [32]byte{}))
	if err != nil {
		return err
	}
	client := wire.Client{Sched: c.world.Sched, Env: c.world.Env}
	answer, err := client.Do(env, handler, req, site.Deadline)
	if err != nil {
		return err
	}
	defer answer.Close()
	content, err := io.ReadAll(answer.Body)
	if err == nil && answer.Status != http.StatusOK {
		err = fmt.Errorf("%s %s: status %d: %s", operation, key, answer.Status, content)
	}
	return err
}
