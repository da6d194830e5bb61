package check

import (
	"testing"
	"time"

	"granary/core/crdt"
	"granary/core/k2v"
)

// itemStory builds a history of one item, whose operations follow each other.
type itemStory struct{ h ItemHistory }

func (s *itemStory) add(op ItemOp) Seen {
	op.Key = "k"
	now := time.Duration(s.h.last) * time.Second
	i := s.h.Begin(now, op)
	s.h.End(now, i, OK)
	s.h.Ops[i].Got.At = s.h.Ops[i].Return
	return s.h.Ops[i].Got
}

func (s *itemStory) write(v string, from Seen) { s.add(ItemOp{Write: true, Value: v, From: from}) }

func (s *itemStory) sweep() { s.add(ItemOp{Write: true, Sweep: true}) }

func (s *itemStory) read(values ...string) Seen { return s.add(ItemOp{Got: Seen{Values: values}}) }

func TestItems(t *testing.T) {
	token := func(n, at uint64) string { return k2v.Token(crdt.Context{{Node: n, Time: at}}) }
	for name, c := range map[string]struct {
		tell func(s *itemStory)
		want Fault // empty: none
	}{
		"concurrent, then merged": {func(s *itemStory) {
			s.write("a", Seen{})
			s.write("b", Seen{})
			s.write("c", s.read("a", "b"))
			s.read("c")
		}, ""},
		"a value vanishes": {func(s *itemStory) {
			s.write("a", Seen{})
			s.write("b", Seen{})
			s.read("b")
		}, ItemLost},
		"a token covered what was not read": {func(s *itemStory) {
			s.write("a", Seen{})
			seen := s.read("a")
			s.write("b", Seen{})
			s.write("c", seen)
			s.read("c")
		}, ItemLost},
		"in the past of the past": {func(s *itemStory) {
			s.write("a", Seen{})
			s.write("b", s.read("a"))
			s.write("c", s.read("b"))
			s.read("c")
		}, ""},
		"a superseded value is back": {func(s *itemStory) {
			s.write("a", Seen{})
			s.write("b", s.read("a"))
			s.read("a", "b")
		}, ItemBack},
		"never written": {func(s *itemStory) { s.read("a") }, ItemThinAir},
		"failed": {func(s *itemStory) {
			s.write("a", Seen{})
			s.h.Ops[0].Outcome = Failed
			s.read("a")
		}, ItemThinAir},
		"deleted": {func(s *itemStory) {
			s.write("a", Seen{})
			s.write("", s.read("a"))
			s.add(ItemOp{Got: Seen{Deleted: true}})
		}, ""},
		"deleted, unread": {func(s *itemStory) {
			s.write("a", Seen{})
			s.write("", Seen{})
			s.add(ItemOp{Got: Seen{Deleted: true}})
		}, ItemLost},
		"swept": {func(s *itemStory) {
			s.write("a", Seen{})
			s.sweep()
			s.add(ItemOp{Got: Seen{Deleted: true}})
			s.write("b", Seen{})
			s.add(ItemOp{Got: Seen{Values: []string{"b"}, Deleted: true}})
		}, ""},
		"swept, and back": {func(s *itemStory) {
			s.write("a", Seen{})
			s.sweep()
			s.read("a")
		}, ItemBack},
		"written before a sweep ended, and still there": {func(s *itemStory) {
			i := s.h.Begin(0, ItemOp{Key: "k", Write: true, Sweep: true})
			s.write("a", Seen{})
			s.h.End(0, i, OK)
			s.write("b", s.add(ItemOp{Got: Seen{Values: []string{"a"}, Deleted: true}}))
			s.write("c", Seen{})
			s.read("b", "c")
		}, ""},
		"written after the sweep, and gone": {func(s *itemStory) {
			s.write("a", Seen{})
			s.sweep()
			s.write("b", Seen{})
			s.add(ItemOp{Got: Seen{Deleted: true}})
		}, ItemLost},
		"the token goes back": {func(s *itemStory) {
			s.add(ItemOp{Write: true, Value: "a", Got: Seen{Token: token(1, 5)}})
			s.add(ItemOp{Got: Seen{Values: []string{"a"}, Token: token(1, 4)}})
		}, ItemToken},
		"a poll misses a write": {func(s *itemStory) {
			s.write("a", Seen{})
			seen := s.read("a")
			s.write("b", seen)
			s.add(ItemOp{Wait: true, Nothing: true, From: seen})
		}, PollMissed},
		"a poll has seen it": {func(s *itemStory) {
			s.write("a", Seen{})
			s.add(ItemOp{Wait: true, Nothing: true, From: s.read("a")})
		}, ""},
		"nodes differ": {func(s *itemStory) {
			s.write("a", Seen{})
			s.write("b", Seen{})
			s.h.Told = map[string]crdt.Context{"k": {{Node: 1, Time: 9}}}
			s.add(ItemOp{Node: 1, Got: Seen{Values: []string{"a", "b"}, Token: token(1, 9)}})
			s.add(ItemOp{Node: 2, Got: Seen{Values: []string{"a", "b"}, Token: token(1, 8)}})
		}, ItemsDiffer},
		"a follower was not told": {func(s *itemStory) {
			s.write("a", Seen{})
			s.h.Told = map[string]crdt.Context{"k": {{Node: 1, Time: 8}}}
			s.add(ItemOp{Node: 1, Got: Seen{Values: []string{"a"}, Token: token(1, 9)}})
		}, PollMissed},
	} {
		t.Run(name, func(t *testing.T) {
			s := &itemStory{}
			c.tell(s)
			found := Items(&s.h)
			switch {
			case c.want == "" && len(found) > 0:
				t.Errorf("found %v in %q", found, s.h.Lines("k"))
			case c.want != "" && (len(found) == 0 || found[0].Fault != c.want):
				t.Errorf("found %v, want %v in %q", found, c.want, s.h.Lines("k"))
			}
		})
	}
}
