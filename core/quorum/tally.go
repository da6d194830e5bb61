package quorum

import (
	"errors"
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
	// Late: the replica stored nothing and never will store what it was sent, whose stamp is no newer than
	// what it has promised to take no more.
	Late
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
	// Head, with Behind, is the newest stamp that the replica knows for the key; with Late, what a stamp must
	// exceed there.
	Head hlc.Stamp
	Err  error // with Failed and Refused: why
}

// Verdict is what the answers so far mean for a write.
type Verdict uint8

// The verdicts.
const (
	Waiting   Verdict = iota // more answers are needed
	Acked                    // the write is acknowledged
	Restamp                  // too many are behind, or called it late: stamp anew, above Tally.Head
	Exhausted                // an acknowledgement is impossible, and a new stamp would not help
)

// Tally counts the answers to one item of a write over the live sets of its partition.
//
// A voted write is acknowledged at a write quorum of Clean answers in the read set and one of stored answers
// (Clean, Behind or Stored) in every other live set; an unvoted one at one of stored answers in every set.
// A Late answer is none of these, and gives the hope that a new stamp would make it one.
// Add counts a node's first answer only, and only the answers of nodes of the sets: learners decide nothing.
// Source: DESIGN.md, "Acknowledgement".
type Tally struct {
	sets    []layout.Set // oldest first
	anchor  int          // the set that votes
	voted   bool
	certain bool
	head    hlc.Stamp
	answers []answered // in order of arrival
}

// pending is the vote of a node that has not answered yet.
const pending = Clean + 1

type answered struct {
	node rt.NodeID
	Answer
}

// Failure is an answer without a vote.
type Failure struct {
	Node rt.NodeID
	Err  error
}

// NewTally starts a count over view; voted says whether the item has a stamp to be voted on.
func NewTally(view cluster.View, voted bool) *Tally {
	return &Tally{sets: view.Live, anchor: view.Read, voted: voted}
}

// Certain makes the tally ask for a new stamp only when W clean votes are impossible for ever: when too many
// are behind. A replica that failed may have stored the row all the same, and one that was never sent it may
// have it from a reader, who found it held at W then. Monotonic reads need this of writes; without it a
// replica that did not answer counts as not clean.
func (t *Tally) Certain() *Tally {
	t.certain = true
	return t
}

// Add counts node's answer.
func (t *Tally) Add(node rt.NodeID, a Answer) {
	if _, again := t.answer(node); again {
		return
	}
	member := func(set layout.Set) bool { return slices.Contains(set.Nodes, node) }
	if !slices.ContainsFunc(t.sets, member) {
		return
	}
	t.answers = append(t.answers, answered{node, a})
	if a.Vote == Behind || a.Vote == Late {
		t.head = max(t.head, a.Head)
	}
}

// Answered reports whether node's answer was counted.
func (t *Tally) Answered(node rt.NodeID) bool { _, ok := t.answer(node); return ok }

func (t *Tally) answer(node rt.NodeID) (Answer, bool) {
	for _, a := range t.answers {
		if a.node == node {
			return a.Answer, true
		}
	}
	return Answer{}, false
}

// Head is the newest stamp that a Behind or Late answer named.
func (t *Tally) Head() hlc.Stamp { return t.head }

// Failures are the answers so far that hold an error.
func (t *Tally) Failures() (fails []Failure) {
	for _, a := range t.answers {
		if a.Err != nil {
			fails = append(fails, Failure{a.node, a.Err})
		}
	}
	return fails
}

// Got is the number of replicas that stored the item so far.
func (t *Tally) Got() (n int) {
	for _, a := range t.answers {
		if a.Vote >= Stored {
			n++
		}
	}
	return n
}

// vote is that of a node, or pending.
func (t *Tally) vote(node rt.NodeID) Vote {
	if a, ok := t.answer(node); ok {
		return a.Vote
	}
	return pending
}

// holds reports whether the nodes of a set whose votes f takes are a write quorum.
func (t *Tally) holds(set layout.Set, f func(Vote) bool) bool {
	return set.Writes(func(id rt.NodeID) bool { return f(t.vote(id)) })
}

// some reports whether a node of a set has this vote.
func (t *Tally) some(set layout.Set, v Vote) bool {
	return slices.ContainsFunc(set.Nodes, func(id rt.NodeID) bool { return t.vote(id) == v })
}

// Verdict decides. hurried asks to stamp anew as soon as a Behind or Late answer is there and no
// acknowledgement, instead of waiting for replicas that have been silent for long.
func (t *Tally) Verdict(hurried bool) Verdict {
	acked, storable := true, true
	for i, set := range t.sets {
		storable = storable && t.holds(set, func(v Vote) bool { return v >= Stored })
		acked = acked && t.reached(i)
	}
	voters := t.sets[t.anchor]
	switch {
	case acked:
		return Acked
	case storable && (!t.voted || t.reached(t.anchor)):
		return Waiting // for other sets, where Behind is as good
	case !t.renewable():
		return Exhausted // too many replicas cannot vote, or store it; a new stamp would not help
	case t.certain && t.voted:
		return t.certainly(voters)
	case !storable, !t.holds(voters, func(v Vote) bool { return v >= Clean }):
		return Restamp
	case hurried && (t.some(voters, Behind) || t.some(voters, Late)):
		return Restamp
	}
	return Waiting
}

// renewable reports whether a new stamp may be acknowledged: where this one is late, or behind, it need not
// be.
func (t *Tally) renewable() bool {
	for i, set := range t.sets {
		least := Stored
		if t.voted && i == t.anchor {
			least = Behind
		}
		if !t.holds(set, func(v Vote) bool { return v >= least || v == Late }) {
			return false
		}
	}
	return true
}

// certainly decides while the voting set lacks clean answers, if only what is certain counts: that so many
// are behind that the stamp can never be clean at a write quorum; or that no replica has it at all, nor will.
// A replica that called it late may yet get it from another, and be clean.
func (t *Tally) certainly(voters layout.Set) Verdict {
	if !t.holds(voters, func(v Vote) bool { return v != Behind }) {
		return Restamp
	}
	nowhere, waiting := true, false
	for _, set := range t.sets {
		for _, id := range set.Nodes {
			v := t.vote(id)
			nowhere = nowhere && (v == Late || v == Refused || v == pending)
			waiting = waiting || v == pending
		}
	}
	switch {
	case t.some(voters, pending), waiting && nowhere:
		return Waiting
	case nowhere:
		return Restamp
	}
	return Exhausted
}

// reached reports whether the answers that set i needs are there.
func (t *Tally) reached(i int) bool { return t.sets[i].Writes(t.counts(i)) }

// counts says which nodes gave an answer that counts in set i.
func (t *Tally) counts(i int) func(rt.NodeID) bool {
	least := Stored
	if t.voted && i == t.anchor {
		least = Clean
	}
	return func(id rt.NodeID) bool {
		v := t.vote(id)
		return v >= least && v < pending
	}
}

// ErrLate, in an Error, says that a replica takes nothing so old any more, and did not store it.
var ErrLate = errors.New("takes nothing so old any more; check the clocks of both nodes")

// Why a replica's answer did not count, in an Error.
var (
	errBehind = errors.New("stored it, but has something newer")
	errNoVote = errors.New("stored it, but cannot tell whether it is the newest")
)

// Missed explains a write that was not acknowledged, by the first set that lacks answers. describe names a
// node for people. The outcome is unknown unless every replica certainly did nothing; earlier says that it is
// anyway, by an earlier attempt.
func (t *Tally) Missed(subject string, describe func(rt.NodeID) string, earlier bool) *Error {
	e := &Error{Op: "write", Subject: subject, Unknown: earlier}
	for i, set := range t.sets {
		for _, node := range set.Nodes {
			e.Unknown = e.Unknown || t.vote(node) != Refused && t.vote(node) != Late
		}
		if e.Of > 0 || t.reached(i) {
			continue
		}
		e.Lack(set, t.counts(i))
		for _, node := range set.Nodes {
			if why := t.fault(i, node); why != nil {
				e.Causes = append(e.Causes, Cause{Node: describe(node), Err: why})
			}
		}
	}
	return e
}

// fault is why node's answer does not count in set i, nil if it does.
func (t *Tally) fault(i int, node rt.NodeID) error {
	a, ok := t.answer(node)
	switch {
	case !ok:
		return ErrSilent
	case a.Vote == Late:
		return ErrLate
	case a.Vote < Stored && a.Err == nil:
		return ErrSilent
	case a.Vote < Stored:
		return a.Err
	case t.voted && i == t.anchor && a.Vote == Behind:
		return errBehind
	case t.voted && i == t.anchor && a.Vote == Stored:
		return errNoVote
	}
	return nil
}
