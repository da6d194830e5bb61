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
	Exhausted                // an acknowledgement is impossible, and a new stamp would not help
)

// Tally counts the answers to one item of a write over the live sets of its partition.
//
// A voted write is acknowledged at a write quorum of Clean answers in the read set and one of stored answers
// (Clean, Behind or Stored) in every other live set; an unvoted one at one of stored answers in every set.
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
	if a.Vote == Behind {
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

// Head is the newest stamp that a Behind answer named.
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

// Verdict decides. hurried asks to stamp anew as soon as a Behind answer is there and no acknowledgement,
// instead of waiting for replicas that have been silent for long.
func (t *Tally) Verdict(hurried bool) Verdict {
	acked := true
	for i, set := range t.sets {
		if !t.holds(set, func(v Vote) bool { return v >= Stored }) {
			return Exhausted
		}
		acked = acked && t.reached(i)
	}
	if acked {
		return Acked
	}
	voters := t.sets[t.anchor]
	if !t.voted || t.reached(t.anchor) {
		return Waiting // for other sets, where Behind is as good
	}
	switch {
	case !t.holds(voters, func(v Vote) bool { return v >= Behind }):
		return Exhausted // too many replicas cannot vote; a new stamp would not help
	case t.certain:
		return t.certainly(voters)
	case !t.holds(voters, func(v Vote) bool { return v >= Clean }), hurried && t.some(voters, Behind):
		return Restamp
	}
	return Waiting
}

// certainly decides while the voting set lacks clean answers, if only what is certain counts.
func (t *Tally) certainly(voters layout.Set) Verdict {
	switch {
	case !t.holds(voters, func(v Vote) bool { return v != Behind }):
		return Restamp
	case !t.some(voters, pending):
		return Exhausted
	}
	return Waiting
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
			e.Unknown = e.Unknown || t.vote(node) != Refused
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
