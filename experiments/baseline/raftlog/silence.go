package raftlog

import (
	"go.etcd.io/raft/v3"

	"granary/core/rt"
)

// silence counts the ticks since a member heard of a leader, in place of the library, whose time-outs come
// from crypto/rand. The library's own clock runs in leaders only: there it beats, and counts who answers.
type silence struct {
	ticks  int
	enough int // to stand for election: from electionTicks to twice as many, drawn anew each time
}

func (s *silence) reset(env rt.Env) {
	s.ticks, s.enough = 0, electionTicks+env.Rand("raft").IntN(electionTicks)
}

// tick is called every tick.
func (m *member) tick() {
	if m.raw.BasicStatus().RaftState == raft.StateLeader {
		m.silence.reset(m.n.Env)
		m.raw.Tick()
		return
	}
	m.silence.ticks++
	if m.silence.ticks == electionTicks {
		_ = m.raw.ForgetLeader() // from now on others may win this one's pre-vote
	}
	if m.silence.ticks >= m.silence.enough {
		m.campaign()
	}
}

func (m *member) campaign() {
	m.silence.reset(m.n.Env)
	_ = m.raw.Campaign()
}

// quiet is a raft.Logger that drops everything but what ends a member.
type quiet struct{}

func (quiet) Debug(...any)            {}
func (quiet) Debugf(string, ...any)   {}
func (quiet) Error(...any)            {}
func (quiet) Errorf(string, ...any)   {}
func (quiet) Info(...any)             {}
func (quiet) Infof(string, ...any)    {}
func (quiet) Warning(...any)          {}
func (quiet) Warningf(string, ...any) {}

func (quiet) Fatal(v ...any)                 { rt.Break("raft: %v", v) }
func (quiet) Fatalf(format string, v ...any) { rt.Break("raft: "+format, v...) }
func (quiet) Panic(v ...any)                 { rt.Break("raft: %v", v) }
func (quiet) Panicf(format string, v ...any) { rt.Break("raft: "+format, v...) }
