package quorum

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"granary/core/cluster"
	"granary/core/hlc"
	"granary/core/layout"
	"granary/core/rt"
)

// node is the i-th node of these tests.
func node(i int) rt.NodeID { return rt.NodeID{byte(i + 1)} }

func describe(id rt.NodeID) string { return fmt.Sprintf("node %d", id[0]-1) }

// drawView draws one to three live sets, each with majority or greater write quorums, over at most six nodes.
func drawView(t *rapid.T) cluster.View {
	var v cluster.View
	all := make([]rt.NodeID, rapid.IntRange(1, 6).Draw(t, "nodes"))
	for i := range all {
		all[i] = node(i)
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "sets") {
		n := rapid.IntRange(1, min(len(all), 5)).Draw(t, "n")
		nodes := rapid.Permutation(all).Draw(t, "set")[:n]
		w := rapid.IntRange(n/2+1, n).Draw(t, "W")
		v.Live = append(v.Live, layout.Set{Version: uint64(i + 1), Nodes: nodes, Write: w, Read: n + 1 - w})
	}
	return v
}

// drawAnswers draws, for every target, what it will answer.
func drawAnswers(t *rapid.T, targets []rt.NodeID) map[rt.NodeID]Answer {
	answers := map[rt.NodeID]Answer{}
	for _, id := range targets {
		a := Answer{Vote: Vote(rapid.IntRange(int(Failed), int(Clean)).Draw(t, "vote"))}
		switch a.Vote {
		case Behind, Late:
			a.Head = hlc.Stamp(rapid.IntRange(1, 9).Draw(t, "head"))
		case Failed, Refused:
			a.Err = errors.New("broken")
		}
		answers[id] = a
	}
	return answers
}

// twin is Verdict by trying every way in which the missing answers might come.
func twin(v cluster.View, voted bool, answers map[rt.NodeID]Answer, hurried bool) Verdict {
	if ackedBy(v, voted, answers) {
		return Acked
	}
	var missing []rt.NodeID
	for _, id := range v.Targets() {
		if _, ok := answers[id]; !ok {
			missing = append(missing, id)
		}
	}
	ackable := false
	complete(answers, missing, func(all map[rt.NodeID]Answer) {
		ackable = ackable || ackedBy(v, voted, all)
	})
	fresh := map[rt.NodeID]Answer{} // what a new stamp may hope for
	for _, id := range v.Targets() {
		if a, ok := answers[id]; !ok || a.Vote == Behind || a.Vote == Late {
			fresh[id] = Answer{Vote: Clean}
		} else {
			fresh[id] = a
		}
	}
	behind, clean := 0, 0
	for _, id := range v.Live[0].Nodes {
		switch answers[id].Vote {
		case Behind, Late:
			behind++
		case Clean:
			clean++
		}
	}
	switch {
	case !ackable && !ackedBy(v, voted, fresh):
		return Exhausted
	case !ackable:
		return Restamp
	case voted && hurried && behind > 0 && clean < v.Live[0].Write:
		return Restamp
	}
	return Waiting
}

// complete calls f with every way to answer for the missing nodes.
func complete(answers map[rt.NodeID]Answer, missing []rt.NodeID, f func(map[rt.NodeID]Answer)) {
	if len(missing) == 0 {
		f(answers)
		return
	}
	for _, v := range []Vote{Failed, Late, Stored, Behind, Clean} {
		answers[missing[0]] = Answer{Vote: v}
		complete(answers, missing[1:], f)
	}
	delete(answers, missing[0])
}

// ackedBy is the rule of acknowledgement, read aloud.
func ackedBy(v cluster.View, voted bool, answers map[rt.NodeID]Answer) bool {
	for i, set := range v.Live {
		n := 0
		for _, id := range set.Nodes {
			a, ok := answers[id]
			if ok && (a.Vote == Clean || !(voted && i == 0) && (a.Vote == Behind || a.Vote == Stored)) {
				n++
			}
		}
		if n < set.Write {
			return false
		}
	}
	return true
}

// TestTallyIsItsTwin compares every prefix of random answers in random orders (DESIGN.md, invariant 1), and
// holds verdicts to be final (invariant 2).
func TestTallyIsItsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		view, voted := drawView(t), rapid.Bool().Draw(t, "voted")
		targets := view.Targets()
		will := drawAnswers(t, targets)
		order := rapid.Permutation(targets).Draw(t, "order")
		tally, so := NewTally(view, voted), map[rt.NodeID]Answer{}
		last := Waiting
		for i := 0; ; i++ {
			for _, hurried := range []bool{false, true} {
				if got, want := tally.Verdict(hurried), twin(view, voted, so, hurried); got != want {
					t.Fatalf("after %d answers %v, hurried %v: %v, want %v", i, so, hurried, got, want)
				}
			}
			now := tally.Verdict(false)
			if last != Waiting && now != last && !(last == Restamp && now == Exhausted) {
				t.Fatalf("verdict %v became %v after %v", last, now, so)
			}
			if last = now; i == len(order) {
				break
			}
			tally.Add(order[i], will[order[i]])
			so[order[i]] = will[order[i]]
			tally.Add(order[i], Answer{Vote: Clean}) // a second answer does not count
			tally.Add(rt.NodeID{200}, Answer{Vote: Clean, Head: 99})
		}
		if last == Waiting {
			t.Fatalf("all have answered, and the tally waits: %v", so)
		}
		checkReport(t, view, tally, so)
	})
}

// checkReport holds what a tally tells besides its verdict to the answers it was given.
func checkReport(t *rapid.T, view cluster.View, tally *Tally, so map[rt.NodeID]Answer) {
	head, got, fails, certain := hlc.Stamp(0), 0, 0, true
	for _, a := range so {
		head = max(head, a.Head)
		if a.Vote >= Stored {
			got++
		}
		if a.Err != nil {
			fails++
		}
		certain = certain && (a.Vote == Refused || a.Vote == Late)
	}
	if tally.Head() != head || tally.Got() != got || len(tally.Failures()) != fails {
		t.Fatalf("head %v got %d failures %v, want %v, %d, %d", tally.Head(), tally.Got(), tally.Failures(),
			head, got, fails)
	}
	if tally.Verdict(false) == Acked {
		return
	}
	e := tally.Missed("x", describe, false)
	if e.Unknown == certain || !tally.Missed("x", describe, true).Unknown {
		t.Fatalf("unknown is %v after %v", e.Unknown, so)
	}
	if e.Got >= e.Need || e.Got+len(e.Causes) != e.Of || e.Need == 0 {
		t.Fatalf("%v does not explain itself: need %d got %d of %d", e, e.Need, e.Got, e.Of)
	}
}

// TestCleanQuorumsMeet: two acknowledged writes have a replica in common that was clean for both (invariant
// 3).
func TestCleanQuorumsMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		view := drawView(t)
		clean := func(name string) []rt.NodeID {
			tally, ids := NewTally(view, true), []rt.NodeID(nil)
			for _, id := range rapid.Permutation(view.Targets()).Draw(t, name) {
				a := Answer{Vote: Vote(rapid.IntRange(int(Stored), int(Clean)).Draw(t, name+" vote"))}
				tally.Add(id, a)
				if a.Vote == Clean && slices.Contains(view.Live[0].Nodes, id) {
					ids = append(ids, id)
				}
				if tally.Verdict(true) == Acked {
					return ids
				}
			}
			return nil
		}
		a, b := clean("a"), clean("b")
		if a == nil || b == nil {
			return
		}
		if !slices.ContainsFunc(a, func(id rt.NodeID) bool { return slices.Contains(b, id) }) {
			t.Fatalf("%v and %v are both acknowledged in %v", a, b, view)
		}
	})
}

// register is one key on some replicas: each knows the newest write that reached it.
type register struct {
	heads []hlc.Stamp
	late  []func() // what is still under way
}

// put writes at stamps of a wrong clock until it is acknowledged, leaving the rest under way. It returns the
// stamp, zero if the write did not come through.
func (r *register) put(t *rapid.T, view cluster.View, clock *hlc.Stamp) hlc.Stamp {
	for {
		*clock += 4 // of four coordinators, whose stamps differ by the remainder, as by a version id
		stamp := *clock
		tally := NewTally(view, true)
		order := rapid.Permutation(view.Live[0].Nodes).Draw(t, "order")
		for i, id := range order {
			deliver := func() Answer {
				head := &r.heads[id[0]-1]
				if *head > stamp {
					return Answer{Vote: Behind, Head: *head}
				}
				*head = stamp
				return Answer{Vote: Clean}
			}
			if rapid.IntRange(0, 5).Draw(t, "lost") == 0 {
				r.late = append(r.late, func() { deliver() })
				tally.Add(id, Answer{Vote: Failed})
			} else {
				tally.Add(id, deliver())
			}
			hurried := rapid.Bool().Draw(t, "hurried")
			switch tally.Verdict(hurried) {
			case Acked:
				for _, rest := range order[i+1:] {
					r.late = append(r.late, func() { r.heads[rest[0]-1] = max(r.heads[rest[0]-1], stamp) })
				}
				return stamp
			case Restamp:
				*clock += max(0, tally.Head()/4*4+4-*clock/4*4)
			case Exhausted:
				return 0
			default:
				continue
			}
			break
		}
	}
}

// TestAcknowledgedWritesAreVisible lets coordinators with wrong clocks write in turn, while what was left
// under way arrives at any time: every read quorum sees each acknowledged write, or a newer one, at once and
// ever after (invariant 4).
func TestAcknowledgedWritesAreVisible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "n")
		var nodes []rt.NodeID
		for i := range n {
			nodes = append(nodes, node(i))
		}
		set := layout.Majority(1, nodes)
		view := cluster.View{Live: []layout.Set{set}}
		r := register{heads: make([]hlc.Stamp, n)}
		clocks := make([]hlc.Stamp, 3)
		for i := range clocks {
			clocks[i] = hlc.Stamp(rapid.IntRange(0, 12).Draw(t, "clock")*4 + i)
		}
		var acked hlc.Stamp
		for range rapid.IntRange(1, 8).Draw(t, "writes") {
			clock := &clocks[rapid.IntRange(0, 2).Draw(t, "coordinator")]
			if stamp := r.put(t, view, clock); stamp != 0 {
				if stamp <= acked {
					t.Fatalf("a write acknowledged at %d follows one at %d", stamp, acked)
				}
				acked = stamp
			}
			for len(r.late) > 0 && rapid.Bool().Draw(t, "late") {
				r.late[0]()
				r.late = r.late[1:]
			}
			quorum := rapid.Permutation(nodes).Draw(t, "readers")[:set.Read]
			var seen hlc.Stamp
			for _, id := range quorum {
				seen = max(seen, r.heads[id[0]-1])
			}
			if seen < acked {
				t.Fatalf("a read of %v sees %d after %d was acknowledged: %v", quorum, seen, acked, r.heads)
			}
		}
	})
}

func TestErrorText(t *testing.T) {
	view := cluster.View{Live: []layout.Set{{Nodes: []rt.NodeID{node(0), node(1), node(2)}, Write: 2,
		Read: 2}}}
	cause := errors.New("down")
	tests := []struct {
		name    string
		answers []Answer
		want    string
		unknown bool
	}{
		{"nobody answers", nil, `write object "k": 2 of 3 replicas needed, 0 answered (node 0: no answer; ` +
			`node 1: no answer; node 2: no answer); the write may have happened, or may yet`, true},
		{"nothing was sent", []Answer{{Vote: Refused, Err: cause}, {Vote: Refused, Err: cause},
			{Vote: Refused, Err: cause}},
			`write object "k": 2 of 3 replicas needed, 0 answered ` +
				`(node 0: down; node 1: down; node 2: down)`, false},
		{"one stored it", []Answer{{Vote: Clean}, {Vote: Failed, Err: cause}, {Vote: Refused, Err: cause}},
			`write object "k": 2 of 3 replicas needed, 1 answered (node 1: down; node 2: down);` +
				` the write may have happened, or may yet`, true},
		{"none can tell", []Answer{{Vote: Stored}, {Vote: Stored}, {Vote: Behind, Head: 5}},
			`write object "k": 2 of 3 replicas needed, 0 answered (` +
				`node 0: stored it, but cannot tell whether it is the newest; ` +
				`node 1: stored it, but cannot tell whether it is the newest; ` +
				`node 2: stored it, but has something newer); the write may have happened, or may yet`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tally := NewTally(view, true)
			for i, a := range tt.answers {
				tally.Add(node(i), a)
			}
			err := error(tally.Missed(`object "k"`, describe, false))
			if err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknown) != tt.unknown {
				t.Errorf("unavailable %v, unknown %v", errors.Is(err, ErrUnavailable),
					errors.Is(err, ErrUnknown))
			}
			if len(tt.answers) > 1 && tt.answers[1].Err != nil && !errors.Is(err, cause) {
				t.Error("the cause is lost")
			}
		})
	}
	early := &Error{Op: "write", Subject: "x", Causes: []Cause{{"this node", cause}}}
	if got := early.Error(); got != "write x (this node: down)" {
		t.Errorf("got %q", got)
	}
}

// TestCertain: a tally that only certainty moves asks for a new stamp when so many are behind that W clean
// votes can never have been given, whatever the silent, failed and refusing ones did, or when nobody has
// stored it, which a replica that called it late may yet do for somebody else; and it is final.
func TestCertain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		view := drawView(t)
		targets := view.Targets()
		will := drawAnswers(t, targets)
		tally, so := NewTally(view, true).Certain(), map[rt.NodeID]Answer{}
		last := Waiting
		for _, id := range rapid.Permutation(targets).Draw(t, "order") {
			tally.Add(id, will[id])
			so[id] = will[id]
			got := tally.Verdict(true)
			if got != tally.Verdict(false) {
				t.Fatalf("a certain tally hurries: %v", so)
			}
			oldest, behind := view.Live[0], 0
			for _, n := range oldest.Nodes {
				if so[n].Vote == Behind {
					behind++
				}
			}
			nowhere := true // nobody has stored it, nor ever will
			for _, n := range targets {
				nowhere = nowhere && (so[n].Vote == Late || so[n].Vote == Refused)
			}
			switch impossible := len(oldest.Nodes)-behind < oldest.Write; {
			case got == Restamp && !impossible && !nowhere:
				t.Fatalf("new stamp, although %d of %v may be clean: %v", oldest.Write, oldest, so)
			case got == Acked != ackedBy(view, true, so):
				t.Fatalf("verdict %v: %v", got, so)
			case (last == Acked || last == Exhausted) && got != last, last == Restamp && got < last:
				t.Fatalf("%v became %v", last, got)
			case got == Waiting && (impossible || nowhere) && twin(view, true, so, false) == Restamp:
				t.Fatalf("waits, although no quorum can be clean: %v", so)
			}
			last = got
		}
		if last == Waiting {
			t.Fatalf("all have answered, and it waits: %v", so)
		}
	})
}
