package raftlog

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"granary/core/codec"
	"granary/core/rt"
	"granary/experiments/baseline/site"
)

// The settings of etcd.
const (
	tick          = 100 * time.Millisecond // one heartbeat
	electionTicks = 10
)

// inboxMax bounds what waits for the member's task.
const inboxMax = 4096

// member is one replica of the log. All of it belongs to one task, which takes what is to be done from inbox;
// but requests read lead and change tries, and messages change flying, between two waits of their tasks.
type member struct {
	n       *site.Node
	raw     *raft.RawNode
	log     *raft.MemoryStorage
	inbox   *rt.Queue[func()]
	state   *state
	applied uint64
	silence silence
	lead    uint64 // who leads, as far as this member knows; 0: nobody
	// asked are the requests that wait here, at the leader, by their ids. Those of reads are ids of the
	// asking, for a request that comes again is another read.
	asked  map[uint64]*rt.Future[*answer]
	reads  map[uint64]*command
	due    []raft.ReadState // confirmed, and not yet applied so far
	reader uint64           // the last id of a read
	tries  []*try
	flying []int // messages on their way, by member
}

// Open is a site.Open. The first site's member of a new log stands for election at once.
func Open(n *site.Node) (site.Store, error) {
	log, fresh, err := openLog(n)
	if err != nil {
		return nil, err
	}
	m := &member{n: n, log: log, inbox: rt.NewQueue[func()](n.Env, inboxMax), state: newState(),
		asked: map[uint64]*rt.Future[*answer]{}, reads: map[uint64]*command{},
		flying: make([]int, len(n.Members))}
	m.silence.reset(n.Env)
	m.raw, err = raft.NewRawNode(&raft.Config{
		ID: uint64(n.Self() + 1), ElectionTick: electionTicks, HeartbeatTick: 1, Storage: log,
		MaxSizePerMsg: 1 << 20, MaxInflightMsgs: 256, CheckQuorum: true, PreVote: true,
		Logger: quiet{},
	})
	if err != nil {
		return nil, err
	}
	m.handle()
	n.Go("raft", m.run)
	n.Go("raft clock", m.clock)
	if fresh && n.Self() == 0 {
		m.inbox.TryPut(m.campaign)
	}
	return &store{m}, nil
}

// clock ticks, at a phase of its own: members do not start at the same moment.
func (m *member) clock(ctx context.Context) error {
	wait := time.Duration(m.n.Env.Rand("raft").Int64N(int64(tick)))
	for {
		if err := m.n.Env.Sleep(ctx, wait); err != nil {
			return err
		}
		wait = tick
		if err := m.inbox.Put(ctx, m.tick); err != nil {
			return err
		}
	}
}

// openLog returns the log on the node's disk; a new one begins after an entry that made all sites members.
func openLog(n *site.Node) (log *raft.MemoryStorage, fresh bool, err error) {
	if n.Disk.Content != nil {
		return n.Disk.Content.(*raft.MemoryStorage), false, nil
	}
	log = raft.NewMemoryStorage()
	n.Disk.Content = log
	members := &raftpb.ConfState{}
	for i := range n.Members {
		members.Voters = append(members.Voters, uint64(i+1))
	}
	err = log.ApplySnapshot(&raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{
		ConfState: members, Index: new(uint64(1)), Term: new(uint64(1))}})
	if err != nil {
		return nil, false, err
	}
	return log, true, log.SetHardState(&raftpb.HardState{Term: new(uint64(1)), Commit: new(uint64(1)),
		Vote: new(uint64(0))})
}

// run does what the inbox says, one after the other, and after each what the library then wants.
func (m *member) run(ctx context.Context) error {
	for {
		f, err := m.inbox.Get(ctx)
		if err != nil {
			return err
		}
		f()
		for m.raw.HasReady() {
			if err := m.ready(); err != nil {
				rt.Break("raft member %s: %v", m.n.Name, err)
			}
		}
		m.answerReads()
	}
}

// ready does what the library wants, in its order: keep, send, apply.
func (m *member) ready() error {
	r := m.raw.Ready()
	if r.HardState != nil && !raft.IsEmptyHardState(r.HardState) {
		if err := m.log.SetHardState(r.HardState); err != nil {
			return err
		}
	}
	if err := m.log.Append(r.Entries); err != nil {
		return err
	}
	for _, msg := range r.Messages {
		if err := m.send(msg); err != nil {
			return err
		}
	}
	for _, e := range r.CommittedEntries {
		if err := m.apply(e); err != nil {
			return err
		}
	}
	m.due = append(m.due, r.ReadStates...)
	if r.SoftState != nil {
		m.follow(r.SoftState.Lead)
	}
	m.raw.Advance(r)
	return nil
}

// apply carries out a committed entry, and answers the request that waits for it here.
func (m *member) apply(e *raftpb.Entry) error {
	m.applied = e.GetIndex()
	if len(e.GetData()) == 0 { // the first of a new leader
		return nil
	}
	var c command
	if err := codec.Unmarshal(e.GetData(), &c); err != nil {
		return fmt.Errorf("entry %d: %w", e.GetIndex(), err)
	}
	m.state.apply(c, m.n.Env.Mutant("raftlog/apply twice"))
	m.settle(c.ID, &answer{})
	return nil
}

// settle answers a request that waits here.
func (m *member) settle(id uint64, a *answer) {
	if f := m.asked[id]; f != nil {
		delete(m.asked, id)
		f.Set(a, nil)
	}
}

// answerReads answers the reads whose index is applied.
func (m *member) answerReads() {
	for len(m.due) > 0 && m.due[0].Index <= m.applied {
		id := binary.BigEndian.Uint64(m.due[0].RequestCtx)
		m.due = m.due[1:]
		if c := m.reads[id]; c != nil {
			delete(m.reads, id)
			m.settle(id, m.state.read(c))
		}
	}
}

// follow takes note of who leads now: what was asked of the last one is asked again.
func (m *member) follow(lead uint64) {
	if lead == m.lead {
		return
	}
	m.lead = lead
	for _, id := range slices.Sorted(maps.Keys(m.asked)) {
		m.settle(id, &answer{Refused: true})
	}
	clear(m.reads)
	for _, t := range m.tries {
		t.cancel()
	}
	m.tries = nil
}

// message is one of the library's, on its way.
type message struct {
	Bytes []byte `cbor:"1,keyasint"`
}

// send starts a message on its way; it need not arrive.
func (m *member) send(msg *raftpb.Message) error {
	bytes, err := proto.Marshal(msg)
	if err != nil {
		return err
	}
	to := int(msg.GetTo() - 1)
	if m.flying[to] >= flyingMax {
		m.raw.ReportUnreachable(msg.GetTo())
		return nil
	}
	m.flying[to]++
	m.n.Go("raft message", func(ctx context.Context) error {
		ctx, cancel := m.n.Env.WithTimeout(ctx, messageLife)
		defer cancel()
		_, err := stepBy(len(bytes)).Call(ctx, m.n.Endpoint, m.n.Members[to], &message{Bytes: bytes})
		m.flying[to]--
		if err != nil {
			m.inbox.TryPut(func() { m.raw.ReportUnreachable(uint64(to + 1)) })
		}
		return nil
	})
	return nil
}

// step takes in a message of another member.
func (m *member) step(msg *raftpb.Message) {
	term := m.raw.BasicStatus().GetTerm()
	switch msg.GetType() {
	case raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgSnap:
		if msg.GetTerm() >= term {
			m.silence.reset(m.n.Env)
		}
	case raftpb.MsgVote:
		if msg.GetTerm() > term {
			m.silence.reset(m.n.Env)
		}
	}
	// What the library refuses, it refuses because the message is old.
	_ = m.raw.Step(msg)
}
