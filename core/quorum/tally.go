package quorum

import (
	"slices"

	"granary/core/cluster"
	"granary/core/hlc"
	"granary/core/layout"
	"granary/core/rt"
)

// Vote is a replica's answer to a write.
type Vote uint8

// The votes.
const (
	// Failed: no answer will come, or an error did; the outcome at that replica is unknown.
	Failed Vote = iota
	// Refused: the replica stored nothing and never will store this write.
	Refused
	// Stored: the replica stored the row but casts no vote on its freshness: the row has no stamp, the
	// replica is syncing, or it can no longer tell.
	Stored
	// Behind: the replica stored the row, and knows something at least as new for the key.
	Behind
	// Clean: the replica stored the row, and it was the newest there.
	Clean
)

// Answer is one replica's answer to one item of a write.
type Answer struct {
	Vote Vote
	Head hlc.Stamp // with Behind: the newest stamp the replica knows for the key
	Err  error     // with Failed and Refused: why
}

// Verdict is what the answers so far mean for a write.
type Verdict uint8

// The verdicts.
const (
	Waiting   Verdict = iota // more answers are needed
	Acked                    // the write is acknowledged
	Restamp                  // W clean answers are impossible: stamp anew, above Tally.Head
	Exhausted                // a write quorum is impossible; the outcome is unknown
)

// Tally counts the answers to one item of a write over the live sets of its partition.
//
// A voted write is acknowledged at W Clean answers in the oldest live set and W stored answers (Clean, Behind
// or Stored) in every other; an unvoted one at W stored answers in every set. Add counts a node's first
// answer only.
// Source: DESIGN.md, "Acknowledgement".
type Tally struct {
	sets  []setTally
	voted bool
	head  hlc.Stamp
	seen  []rt.NodeID
	fails []Failure
}

// Failure is an answer without a vote.
type Failure struct {
	Node rt.NodeID
	Err  error
}

type setTally struct {
	set                   layout.Set
	clean, behind, stored int
	failed                int
}

func (s *setTally) pending() int { return len(s.set.Nodes) - s.clean - s.behind - s.stored - s.failed }
func (s *setTally) have() int    { return s.clean + s.behind + s.stored }

// NewTally starts a count over view; voted says whether the item has a stamp to be voted on.
func NewTally(view cluster.View, voted bool) *Tally {
	t := &Tally{sets: make([]setTally, len(view.Live)), voted: voted}
	for i, set := range view.Live {
		t.sets[i].set = set
	}
	return t
}

// Add counts node's answer.
func (t *Tally) Add(node rt.NodeID, a Answer) {
	for _, n := range t.seen {
		if n == node {
			return
		}
	}
	t.seen = append(t.seen, node)
	if a.Vote == Behind {
		t.head = max(t.head, a.Head)
	}
	if a.Err != nil {
		t.fails = append(t.fails, Failure{node, a.Err})
	}
	for i := range t.sets {
		if s := &t.sets[i]; slices.Contains(s.set.Nodes, node) {
			s.count(a.Vote)
		}
	}
}

func (s *setTally) count(v Vote) {
	switch v {
	case Clean:
		s.clean++
	case Behind:
		s.behind++
	case Stored:
		s.stored++
	default:
		s.failed++
	}
}

// Head is the newest stamp that a Behind answer named.
func (t *Tally) Head() hlc.Stamp { return t.head }

// Failures are the answers so far that hold an error.
func (t *Tally) Failures() []Failure { return t.fails }

// Got is the number of replicas that stored the item so far.
func (t *Tally) Got() int { return len(t.seen) - len(t.fails) }

// Verdict decides. hurried asks to stamp anew as soon as a Behind answer is there and no acknowledgement,
// instead of waiting for replicas that have been silent for long.
func (t *Tally) Verdict(hurried bool) Verdict {
	acked, behind := true, 0
	for i := range t.sets {
		s := &t.sets[i]
		if s.have()+s.pending() < s.set.Write {
			return Exhausted
		}
		if t.voted && i == 0 {
			acked = acked && s.clean >= s.set.Write
			behind = s.behind
		} else {
			acked = acked && s.have() >= s.set.Write
		}
	}
	if acked {
		return Acked
	}
	if oldest := &t.sets[0]; t.voted && oldest.clean < oldest.set.Write {
		impossible := oldest.clean+oldest.pending() < oldest.set.Write
		if impossible && behind == 0 {
			return Exhausted // too many replicas cannot vote; a new stamp would not help
		}
		if impossible || hurried && behind > 0 {
			return Restamp
		}
	}
	return Waiting
}
