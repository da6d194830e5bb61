package raftlog

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"granary/core/codec"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/experiments/baseline/site"
)

const (
	// largeBytes is from where a message goes by a connection of its own kind, and delays no heartbeat.
	largeBytes  = 32 << 10
	flyingMax   = 256 // messages on their way to one member
	messageLife = 5 * time.Second
	// askAgain is how long a request rests that found no leader, or one that did not know it yet.
	askAgain = 10 * time.Millisecond
)

type nothing struct{}

var (
	methodStep      = rpc.NewMethod[message, nothing]("raftlog.step", rpc.Meta)
	methodStepLarge = rpc.NewMethod[message, nothing]("raftlog.step-large", rpc.Bulk)
	methodDo        = rpc.NewMethod[command, answer]("raftlog.do", rpc.Meta)
	methodDoLarge   = rpc.NewMethod[command, answer]("raftlog.do-large", rpc.Bulk)
)

func stepBy(size int) rpc.Method[message, nothing] {
	if size > largeBytes {
		return methodStepLarge
	}
	return methodStep
}

// doBy is how a request travels: what may bring back much as what takes much.
func doBy(c *command) rpc.Method[command, answer] {
	if c.Verb == get || len(c.Value) > largeBytes {
		return methodDoLarge
	}
	return methodDo
}

// handle registers what the member answers.
func (m *member) handle() {
	step := func(ctx context.Context, _ rt.NodeID, in *message) (*nothing, error) {
		msg := new(raftpb.Message)
		if err := proto.Unmarshal(in.Bytes, msg); err != nil {
			return nil, err
		}
		return &nothing{}, m.inbox.Put(ctx, func() { m.step(msg) })
	}
	do := func(ctx context.Context, _ rt.NodeID, c *command) (*answer, error) { return m.serve(ctx, c) }
	rpc.Handle(m.n.Endpoint, methodStep, step)
	rpc.Handle(m.n.Endpoint, methodStepLarge, step)
	rpc.Handle(m.n.Endpoint, methodDo, do)
	rpc.Handle(m.n.Endpoint, methodDoLarge, do)
}

// serve answers a request if this member leads.
func (m *member) serve(ctx context.Context, c *command) (*answer, error) {
	f := rt.NewFuture[*answer](m.n.Env)
	take := func() { m.read(c, f) }
	if c.Verb.writes() {
		data, err := codec.Marshal(c)
		if err != nil {
			return nil, err
		}
		take = func() { m.propose(c.ID, data, f) }
	}
	err := m.inbox.Put(ctx, func() {
		if m.raw.BasicStatus().RaftState != raft.StateLeader {
			f.Set(&answer{Refused: true}, nil)
			return
		}
		take()
	})
	if err != nil {
		return nil, err
	}
	return f.Get(ctx)
}

// propose puts a write into the log. If the same request waits here already, which can only be one whose
// answer was lost, the new asking takes its place.
func (m *member) propose(id uint64, data []byte, f *rt.Future[*answer]) {
	m.settle(id, &answer{Refused: true})
	m.asked[id] = f
	if err := m.raw.Propose(data); err != nil {
		m.settle(id, &answer{Refused: true})
	}
}

// read asks for an index, up to which all that was answered before is in the log.
func (m *member) read(c *command, f *rt.Future[*answer]) {
	if m.n.Env.Mutant("raftlog/read without index") {
		f.Set(m.state.read(c), nil)
		return
	}
	m.reader++
	id := m.reader<<1 | 1 // those of requests are even
	m.asked[id], m.reads[id] = f, c
	m.raw.ReadIndex(binary.BigEndian.AppendUint64(nil, id))
}

// store is a member as its clients see it.
type store struct{ m *member }

// try is a request that is being made of a leader.
type try struct{ cancel context.CancelFunc }

// do makes a request of the leader, and of the next if the leader changes meanwhile.
func (s *store) do(ctx context.Context, c command) (*answer, error) {
	m := s.m
	c.ID = m.n.Env.Rand("request").Uint64() &^ 1
	if m.n.Env.Mutant("raftlog/local read") && !c.Verb.writes() {
		return m.state.read(&c), nil
	}
	for {
		if m.lead != 0 {
			a, err := m.ask(ctx, &c)
			if err == nil && !a.Refused {
				return a, nil
			}
		}
		if err := m.n.Env.Sleep(ctx, askAgain); err != nil {
			return nil, err
		}
	}
}

// ask makes one request of the present leader, and gives it up when the leader changes.
func (m *member) ask(ctx context.Context, c *command) (*answer, error) {
	ctx, cancel := m.n.Env.WithCancel(ctx)
	defer cancel()
	t := &try{cancel}
	m.tries = append(m.tries, t)
	defer func() { m.tries = slices.DeleteFunc(m.tries, func(x *try) bool { return x == t }) }()
	return doBy(c).Call(ctx, m.n.Endpoint, m.n.Members[m.lead-1], c)
}

// Buckets implements site.Store.
func (s *store) Buckets(ctx context.Context) ([]byte, error) { return s.Get(ctx, site.BucketsKey) }

// List implements site.Store.
func (s *store) List(ctx context.Context) ([]string, error) {
	a, err := s.do(ctx, command{Verb: list})
	if err != nil {
		return nil, err
	}
	return a.Keys, nil
}

// Get implements site.Store.
func (s *store) Get(ctx context.Context, key string) ([]byte, error) {
	a, err := s.do(ctx, command{Verb: get, Key: key})
	switch {
	case err != nil:
		return nil, err
	case a.Absent:
		return nil, site.ErrAbsent
	}
	return a.Value, nil
}

// Put implements site.Store.
func (s *store) Put(ctx context.Context, key string, value []byte) error {
	_, err := s.do(ctx, command{Verb: put, Key: key, Value: value})
	return err
}

// Remove implements site.Store.
func (s *store) Remove(ctx context.Context, key string) error {
	_, err := s.do(ctx, command{Verb: remove, Key: key})
	return err
}
