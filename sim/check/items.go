package check

import (
	"fmt"
	"slices"
	"time"

	"granary/core/crdt"
	"granary/core/k2v"
)

// The faults of items of concurrent values.
const (
	// ItemLost: an acknowledged value is neither in a later read nor in the causal past of what is.
	ItemLost Fault = "lost item value"
	// ItemBack: a value is in a read after a write that replaced it was acknowledged, or beside one that did.
	ItemBack Fault = "superseded item value"
	// ItemThinAir: a read returned what nobody wrote there, or what certainly failed.
	ItemThinAir Fault = "item value from nowhere"
	// ItemToken: a token does not cover what was acknowledged before.
	ItemToken Fault = "token misses a write"
	// PollMissed: a poll did not tell a change.
	PollMissed Fault = "poll missed a change"
	// ItemsDiffer: nodes do not agree on an item when all is at rest.
	ItemsDiffer Fault = "items differ at rest"
	// IndexWrong: the index does not agree with the items when all is at rest.
	IndexWrong Fault = "index differs from the items"
)

// Seen is what a client knows by a token: the values it read with it, whether a deletion was among them,
// and the writes that it made by tokens that grew from it.
type Seen struct {
	Values  []string
	Deleted bool
	At      int64 // when the read returned, 0 for nothing read
	Token   string
}

// ItemOp is one write or read of an item. Values are unique: they name their writes.
type ItemOp struct {
	Write   bool
	Key     string
	Value   string // of a write; empty: a deletion
	From    Seen   // a write: what its token covers
	Sweep   bool   // a deletion of what the store found, some time between call and return
	Got     Seen   // a read: what it returned; a write: the token it returned, if any
	Outcome Outcome
	Wait    bool // a read that waited for something newer than From
	Nothing bool // and got nothing
	// Call and Return are event numbers, as in Op.
	Call, Return         int64
	CalledAt, ReturnedAt time.Duration
	Node                 int // that a read of the end asked, from 1; 0: no read of the end
}

// String describes the operation in one line.
func (o ItemOp) String() string {
	what := fmt.Sprintf("read %q, deleted %v", o.Got.Values, o.Got.Deleted)
	switch {
	case o.Nothing:
		what = "poll got nothing"
	case o.Write:
		what = fmt.Sprintf("write %q in place of %q, deleted %v", o.Value, o.From.Values, o.From.Deleted)
	}
	return fmt.Sprintf("[%d,%d] %v to %v %s %s: %v", o.Call, o.Return, o.CalledAt, o.ReturnedAt, o.Key, what,
		o.Outcome)
}

// ItemHistory is what clients of items saw.
type ItemHistory struct {
	Ops []ItemOp
	// Told are the contexts in which the followers of ranges were told of each item.
	Told map[string]crdt.Context
	last int64
}

// Tick returns the next event number.
func (h *ItemHistory) Tick() int64 {
	h.last++
	return h.last
}

// Begin records a call and returns its index for End.
func (h *ItemHistory) Begin(now time.Duration, op ItemOp) int {
	op.Call, op.CalledAt, op.Return = h.Tick(), now, Forever
	h.Ops = append(h.Ops, op)
	return len(h.Ops) - 1
}

// End records a return.
func (h *ItemHistory) End(now time.Duration, i int, o Outcome) {
	op := &h.Ops[i]
	op.Return, op.ReturnedAt, op.Outcome = h.Tick(), now, o
}

// Lines are the operations of a key, for people.
func (h *ItemHistory) Lines(key string) (lines []string) {
	for _, op := range h.Ops {
		if op.Key == key {
			lines = append(lines, op.String())
		}
	}
	return lines
}

// itemJudge judges one key.
type itemJudge struct {
	key     string
	ops     []*ItemOp
	writes  map[string]*ItemOp // by value
	deletes []*ItemOp
	pasts   map[bool]map[string]map[string]bool // of values, by whether sweeps count
	found   []Violation
}

// Items judges the operations on items, key by key, by the values alone and by the tokens as vectors.
//
// A read R called after a write of v was acknowledged shows v, or a value in whose causal past v is: one
// whose writer had read v, or had read such a value (ItemLost). Nor does it show what an acknowledged write
// replaced, or two values of which one is in the past of the other (ItemBack). Its token covers every token
// that an acknowledged write returned or was made with (ItemToken). A deletion has no name: where a read
// shows one, any that had been called may be meant, so that the rules are blind to what several deletions of
// one item hide from each other. A sweep may have covered every value whose write was called before it
// returned, and has covered those that were acknowledged before its call. A poll that ends with nothing while
// an unseen write had been acknowledged for pollSlack broke its promise.
func Items(h *ItemHistory) []Violation {
	keys := map[string]*itemJudge{}
	var order []string
	for i := range h.Ops {
		op := &h.Ops[i]
		j := keys[op.Key]
		if j == nil {
			j = &itemJudge{key: op.Key, writes: map[string]*ItemOp{},
				pasts: map[bool]map[string]map[string]bool{false: {}, true: {}}}
			keys[op.Key], order = j, append(order, op.Key)
		}
		j.ops = append(j.ops, op)
		switch {
		case op.Write && op.Value == "":
			j.deletes = append(j.deletes, op)
		case op.Write:
			j.writes[op.Value] = op
		}
	}
	slices.Sort(order)
	var all []Violation
	for _, key := range order {
		j := keys[key]
		for _, op := range j.ops {
			if !op.Write && op.Outcome == OK {
				j.read(op)
			}
		}
		j.rest()
		all = append(all, j.found...)
	}
	return append(all, h.told()...)
}

func (j *itemJudge) fail(f Fault, op *ItemOp, format string, args ...any) {
	j.found = append(j.found, Violation{Fault: f, Key: j.key, Op: -1, By: -1,
		Text: fmt.Sprintf(format, args...) + "; " + op.String()})
}

// past returns all values that s covers: those read, and what was in their past; if swept, what sweeps may
// have covered as well.
func (j *itemJudge) past(s Seen, swept bool) map[string]bool {
	all := map[string]bool{}
	for _, v := range s.Values {
		all[v] = true
		for u := range j.pastOf(v, swept) {
			all[u] = true
		}
	}
	if s.Deleted {
		for _, d := range j.deletes {
			if d.Call < s.At && d.Outcome != Failed && d.From.At < s.At {
				for u := range j.past(d.From, swept) {
					all[u] = true
				}
				for u, w := range j.writes {
					if swept && d.Sweep && w.Call < min(d.Return, s.At) {
						all[u] = true
					}
				}
			}
		}
	}
	return all
}

// pastOf returns the past of a value.
func (j *itemJudge) pastOf(v string, swept bool) map[string]bool {
	pasts := j.pasts[swept]
	if p, ok := pasts[v]; ok {
		return p
	}
	w := j.writes[v]
	if w == nil {
		return nil
	}
	pasts[v] = nil // a cycle cannot be: reads come before
	p := j.past(w.From, swept)
	pasts[v] = p
	return p
}

func (j *itemJudge) read(r *ItemOp) {
	if r.Wait && r.Nothing {
		j.nothing(r)
		return
	}
	past := j.past(r.Got, true)
	seen, _ := k2v.ParseToken(r.Got.Token)
	for _, v := range r.Got.Values {
		if w := j.writes[v]; w == nil || w.Outcome == Failed || w.Call > r.Return {
			j.fail(ItemThinAir, r, "value %q", v)
		}
		for _, u := range r.Got.Values {
			if u != v && j.pastOf(v, false)[u] {
				j.fail(ItemBack, r, "%q stands beside %q, whose writer had read it", u, v)
			}
		}
	}
	for _, w := range j.ops {
		if !w.Write || w.Outcome != OK || w.Return > r.Call {
			continue
		}
		if w.Value != "" && !past[w.Value] {
			j.fail(ItemLost, r, "%q is not there, by %v", w.Value, w)
		}
		for _, token := range []string{w.From.Token, w.Got.Token} {
			if c, _ := k2v.ParseToken(token); c.Newer(seen) {
				j.fail(ItemToken, r, "it does not cover that of %v", w)
			}
		}
		for _, v := range r.Got.Values {
			swept := w.Sweep && j.writes[v] != nil && j.writes[v].Outcome == OK && j.writes[v].Return < w.Call
			if swept || slices.Contains(w.From.Values, v) && v != w.Value {
				j.fail(ItemBack, r, "%q was replaced by %v", v, w)
			}
		}
	}
}

// pollSlack is how long a write must have been acknowledged before a poll must know of it.
const pollSlack = 15 * time.Second

func (j *itemJudge) nothing(r *ItemOp) {
	past := j.past(r.From, true)
	for _, w := range j.ops {
		if w.Write && w.Outcome == OK && w.Value != "" && !past[w.Value] &&
			(w.Return < r.Call || w.ReturnedAt+pollSlack < r.ReturnedAt) && w.Call > r.From.At {
			j.fail(PollMissed, r, "it was not told of %v", w)
		}
	}
}

// rest compares the reads of the end.
func (j *itemJudge) rest() {
	var first *ItemOp
	for _, op := range j.ops {
		switch {
		case op.Node == 0 || op.Outcome != OK:
		case first == nil:
			first = op
		case op.Got.Token != first.Got.Token || !slices.Equal(op.Got.Values, first.Got.Values):
			j.fail(ItemsDiffer, op, "node %d shows %q, node %d %q", op.Node, op.Got.Values, first.Node,
				first.Got.Values)
		}
	}
}

// told demands that the followers were told the last state of every item.
func (h *ItemHistory) told() (all []Violation) {
	for _, op := range h.Ops {
		if op.Node == 0 || op.Outcome != OK {
			continue
		}
		last, _ := k2v.ParseToken(op.Got.Token)
		if told := h.Told[op.Key]; last.Newer(told) {
			all = append(all, Violation{Fault: PollMissed, Key: op.Key, Op: -1, By: -1,
				Text: fmt.Sprintf("its follower was told of %v, the item is in %v", told, last)})
		}
	}
	return all
}
