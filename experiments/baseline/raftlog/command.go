package raftlog

import (
	"maps"
	"slices"

	"granary/experiments/baseline/site"
)

// verb is what a command does.
type verb uint8

const (
	put verb = iota + 1
	remove
	get
	list
)

func (v verb) writes() bool { return v == put || v == remove }

// command is a request; the writing ones are what the log holds.
type command struct {
	ID    uint64 `cbor:"1,keyasint"` // drawn by the member where the request arrived
	Verb  verb   `cbor:"2,keyasint"`
	Key   string `cbor:"3,keyasint,omitempty"`
	Value []byte `cbor:"4,keyasint,omitempty"`
}

// answer is the leader's.
type answer struct {
	// Refused: the one asked does not lead, or no longer; ask the next leader.
	Refused bool     `cbor:"1,keyasint,omitempty"`
	Absent  bool     `cbor:"2,keyasint,omitempty"`
	Value   []byte   `cbor:"3,keyasint,omitempty"`
	Keys    []string `cbor:"4,keyasint,omitempty"`
}

// state is what the log makes, entry by entry. It lives in memory: a member that starts applies its log
// again.
type state struct {
	values map[string][]byte
	done   map[uint64]bool // requests that took effect; never forgotten, for a run is short
}

func newState() *state { return &state{values: map[string][]byte{}, done: map[uint64]bool{}} }

// apply carries out an entry's command.
func (s *state) apply(c command, again bool) {
	if s.done[c.ID] && !again {
		return
	}
	s.done[c.ID] = true
	if c.Verb == put {
		s.values[c.Key] = c.Value
	} else {
		delete(s.values, c.Key)
	}
}

// read answers get and list.
func (s *state) read(c *command) *answer {
	if c.Verb == list {
		keys := slices.Sorted(maps.Keys(s.values))
		return &answer{Keys: slices.DeleteFunc(keys, func(k string) bool { return k == site.BucketsKey })}
	}
	value, ok := s.values[c.Key]
	return &answer{Absent: !ok, Value: value}
}
