package check

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// at sets the level of all operations, or of reads only.
func (h *History) at(level Level, readsOnly bool) *History {
	for i := range h.Ops {
		if !readsOnly || !h.Ops[i].Kind.writes() {
			h.Ops[i].Level = level
		}
	}
	return h
}

// TestRegistersPlanted: what a register forbids beyond the default promise, and near misses.
func TestRegistersPlanted(t *testing.T) {
	for name, tt := range map[string]struct{ story, want string }{
		"seen, then not": {"1 put k v1\n1 ok\n2 put k v2\n3 get k\n3 ok v2\n3 get k\n3 ok v1\n2 ok", "#3"},
		"seen by another, then not": {"1 put k v1\n1 ok\n2 put k v2\n3 get k\n3 ok v2\n" +
			"4 get k\n4 ok v1\n2 unknown", "#3"},
		"seen and overwritten, then seen again": {"1 put k v1\n2 put k v2\n3 get k\n3 ok v1\n" +
			"3 get k\n3 ok v2\n3 get k\n3 ok v1\n1 ok\n2 ok", "was there"},
		"an absence within": {"1 put k v1\n2 delete k\n3 get k\n3 ok v1\n3 get k\n3 ok -\n" +
			"3 get k\n3 ok v1\n1 ok\n2 ok", "was there"},
		"a whole deletion within": {"1 put k v1\n1 ok\n2 delete k\n2 ok\n3 get k\n3 ok v1", "was there"},
		"absence, a value, absence, with one deletion": {"1 put k v1\n3 get k\n3 ok -\n3 get k\n3 ok v1\n" +
			"3 get k\n3 ok -\n1 ok", "no order"},
		"overlapping reads may differ": {"1 put k v1\n1 ok\n2 put k v2\n3 get k\n4 get k\n" +
			"3 ok v2\n4 ok v1\n2 ok", ""},
		"seen once and for ever": {"1 put k v1\n2 put k v2\n3 get k\n3 ok v1\n" +
			"3 get k\n3 ok v2\n1 ok\n2 ok", ""},
		"unknown, and after all": {"1 put k v1\n1 unknown\n2 get k\n2 ok -\n2 get k\n2 ok v1", ""},
		"a listing is a read": {"1 put k v1\n1 ok\n2 put k v2\n3 list -\n3 ok k=v2\n3 get k\n3 ok v1\n2 ok",
			"was there"},
		"a listing that misses it": {"1 put k v1\n2 get k\n2 ok v1\n3 list -\n3 ok\n1 ok", "no order"},
	} {
		h := play(t, tt.story).at(Monotonic, false)
		got, unknown, err := Registers(h, 0)
		switch {
		case err != nil || unknown > 0:
			t.Errorf("%s: %d unknown, %v", name, unknown, err)
		case tt.want == "" && len(got) > 0:
			t.Errorf("%s: %v", name, got)
		case tt.want != "" && (len(got) == 0 || got[0].Fault != WentBack ||
			!strings.Contains(got[0].String(), tt.want)):
			t.Errorf("%s: %v, want %q", name, got, tt.want)
		}
		if got, _, _ := Registers(h.at("", true), 0); len(got) > 0 {
			t.Errorf("%s: reads of another level are judged: %v", name, got)
		}
		h.at(Monotonic, true).Ops[0].Level = ""
		if got, _, _ := Registers(h, 0); len(got) > 0 {
			t.Errorf("%s: a write of another level, and it is judged: %v", name, got)
		}
	}
}

// guessed plays clients whose reads return any value that was put before: seldom what a register returns.
func guessed(r *rand.Rand, ops int) *History {
	h := &History{}
	var open []int
	for n := range ops {
		op := Op{Client: n, Kind: Get, Key: "k", Size: -1}
		if n == 0 || r.IntN(3) == 0 {
			op.Kind, op.Value = Put, ValueID(n+1)
		}
		open = append(open, h.Begin(0, op))
		for len(open) > r.IntN(4) {
			i := r.IntN(len(open))
			at := open[i]
			open = append(open[:i], open[i+1:]...)
			if o := &h.Ops[at]; o.Kind == Get {
				for o.Value == 0 {
					o.Value = h.Ops[max(0, len(h.Ops)-1-r.IntN(6))].Value
				}
			}
			h.End(0, at, OK)
		}
	}
	for _, at := range open {
		if h.Ops[at].Kind == Get {
			h.Ops[at].Outcome = Failed
		}
	}
	return h.at(Monotonic, false)
}

// TestRegistersAgree: where values are unique, both checkers say the same.
func TestRegistersAgree(t *testing.T) {
	good, bad := 0, 0
	for seed := range uint64(3000) {
		h := guessed(rand.New(rand.NewPCG(seed, 3)), 8)
		got, unknown, err := Registers(h, 0)
		if err != nil || unknown > 0 || len(got) > 0 && got[0].Op < 0 {
			t.Fatalf("seed %d: %d unknown, %v, %v\n%s", seed, unknown, err, got,
				strings.Join(h.Lines("k"), "\n"))
		}
		if len(got) > 0 {
			bad++
		} else {
			good++
		}
	}
	if t.Logf("%d registers, %d that are none", good, bad); good < 300 || bad < 300 {
		t.Error("the generator proves little")
	}
}

// TestEventualReads: they may show what was superseded, and nothing else.
func TestEventualReads(t *testing.T) {
	for story, want := range map[string]Fault{
		"1 put k v1\n1 ok\n1 put k v2\n1 ok\n2 get k\n2 ok v1":             "",
		"1 put k v1\n1 ok\n2 get k\n2 ok -":                                "",
		"1 put k v1\n1 ok\n1 delete k\n1 ok\n2 list -\n2 ok k=v1":          "",
		"1 put a/k v1\n1 ok\n1 delete a/k\n1 ok\n2 list - /\n2 ok a/":      "",
		"1 put k v1\n1 failed\n2 get k\n2 ok v1":                           TakenBack,
		"2 get k\n2 ok v1\n1 put k v1\n1 ok":                               Future,
		"1 put k v1\n1 ok\n2 get k\n2 ok v7":                               ThinAir,
		"1 put k v1\n1 ok\n1 put k v2\n1 ok\n2 get k\n2 ok v1 wrong bytes": WrongBytes,
		"2 list - /\n2 ok a/\n1 put a/k v1\n1 ok":                          ListGhost,
	} {
		v, err := Agree(play(t, story).at(Eventual, true), 0)
		found := Fault("")
		if len(v.Violations) > 0 {
			found = v.Violations[0].Fault
		}
		if err != nil || found != want {
			t.Errorf("%q: %v %v, want %q", story, v.Violations, err, want)
		}
	}
}

// TestAlive: what must succeed, and the one write that need not.
func TestAlive(t *testing.T) {
	for story, want := range map[string]int{
		"1 put k v1\n1 unknown":                                 1,
		"1 put k v1\n2 delete k\n2 ok\n1 unknown":               0,
		"1 put k v1\n2 delete k\n2 ok\n1 failed":                1,
		"1 put k v1\n2 delete l\n2 ok\n1 unknown":               1,
		"2 delete k\n2 ok\n1 put k v1\n1 unknown":               1,
		"1 put k v1\n2 get k\n2 ok -\n1 unknown":                1,
		"1 put k v1\n2 get k\n2 failed\n1 ok\n1 get k\n1 ok v1": 1,
	} {
		if got := Alive(play(t, story).at(Monotonic, false), 0); len(got) != want {
			t.Errorf("%q: %v", story, got)
		}
		if story := play(t, story); len(Alive(story, 0)) == 0 {
			t.Errorf("nothing failed at another level: %v", story.Lines("k"))
		}
	}
}
