package check

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
)

// randomHistory returns a few overlapping operations on one key, legal or not.
func randomHistory(r *rand.Rand, ops int) *History {
	type running struct{ op, client int }
	h := &History{}
	var open []running
	var values []ValueID
	begin := func(client int) {
		op := Op{Client: client, Key: "k", Kind: Put, Size: -1}
		switch n := r.IntN(10); {
		case n < 4:
			op.Value = ValueID(len(h.Ops) + 1)
			values = append(values, op.Value)
		case n < 5:
			op.Kind = Delete
		default:
			op.Kind = Get
		}
		open = append(open, running{h.Begin(0, op), client})
	}
	end := func(i int) {
		at := open[i].op
		open = slices.Delete(open, i, i+1)
		op := &h.Ops[at]
		outcome := OK
		switch n := r.IntN(10); {
		case op.Kind == Get && n == 0:
			outcome = Failed
		case op.Kind == Get && (n < 4 || len(values) == 0):
			op.Absent = true
		case op.Kind == Get:
			op.Value = values[r.IntN(len(values))]
			if r.IntN(50) == 0 {
				op.Value = 99
			}
		case n == 0:
			outcome = Failed
		case n == 1:
			outcome = Unknown
		}
		h.End(0, at, outcome)
	}
	for len(h.Ops) < ops || len(open) > 0 {
		client := r.IntN(4)
		i := slices.IndexFunc(open, func(o running) bool { return o.client == client })
		switch {
		case i >= 0 && r.IntN(8) == 0 && len(h.Ops) >= ops:
			open = slices.Delete(open, i, i+1) // never returns
		case i >= 0:
			end(i)
		case len(h.Ops) < ops:
			begin(client)
		}
	}
	return h
}

// slowPasses is the twin: it enumerates the rows of all writes and one read that respect precedence and looks
// for one in which the last write before the read is what the read saw.
func slowPasses(h *History, read *Op) bool {
	var writes []*Op
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Kind.writes() && op.Outcome != Failed {
			writes = append(writes, op)
		}
	}
	returned := func(op *Op) int64 {
		if op.Kind.writes() && op.Outcome == Unknown {
			return Forever
		}
		return op.Return
	}
	placed := make([]bool, len(writes))
	var row func(last *Op) bool
	row = func(last *Op) bool {
		free := func(op *Op) bool { // nothing unplaced precedes it
			for i, w := range writes {
				if !placed[i] && w != op && returned(w) < op.Call {
					return false
				}
			}
			return true
		}
		if free(read) {
			if last == nil || last.Kind == Delete {
				if read.Absent {
					return true
				}
			} else if !read.Absent && last.Value == read.Value {
				return true
			}
		}
		for i, w := range writes {
			if placed[i] || read.Return < w.Call || !free(w) {
				continue
			}
			placed[i] = true
			ok := row(w)
			placed[i] = false
			if ok {
				return true
			}
		}
		return false
	}
	return row(nil)
}

func TestCheckersAgreeWithTheTwin(t *testing.T) {
	legal, illegal := 0, 0
	for seed := range uint64(10_000) {
		r := rand.New(rand.NewPCG(seed, 1))
		h := randomHistory(r, 2+r.IntN(9))
		v, err := Agree(h, 0)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, strings.Join(h.Lines("k"), "\n"))
		}
		broken := map[int]bool{}
		for _, x := range v.Violations {
			broken[x.Op] = true
		}
		for i := range h.Ops {
			op := &h.Ops[i]
			if op.Kind != Get || op.Outcome != OK {
				continue
			}
			if passes := slowPasses(h, op); passes == broken[i] {
				t.Fatalf("seed %d: read #%d passes %v, broken %v\n%s",
					seed, i, passes, broken[i], strings.Join(h.Lines("k"), "\n"))
			}
		}
		b := newBook(h)
		for _, key := range b.keys {
			want := len(broken) == 0
			for _, f := range []form{shrunk, wide, drawn} {
				if verdict, _ := b.search(b.of[key], f, 0, false); (verdict == porcupine.Ok) != want {
					t.Fatalf("seed %d: form %d says %s, the rule %v\n%s",
						seed, f, verdict, want, strings.Join(h.Lines("k"), "\n"))
				}
			}
		}
		if len(broken) == 0 {
			legal++
		} else {
			illegal++
		}
	}
	t.Logf("%d legal, %d illegal", legal, illegal)
	if legal < 1000 || illegal < 1000 {
		t.Errorf("%d legal and %d illegal histories: the generator proves little", legal, illegal)
	}
}

// regular plays a correct store with replicas that lag: reads return any admissible value.
func regular(r *rand.Rand, clients, ops, keys int) *History {
	h := &History{}
	type state struct {
		op int
	}
	busy := make([]*state, clients)
	admissible := func(op *Op) []ValueID {
		x := newBook(h)
		reg := x.of[op.Key]
		if reg == nil {
			return []ValueID{0}
		}
		var all []ValueID
		bar := reg.lookup().bar(reg, op.Call, op.Level)
		for _, w := range reg.writes {
			if w.ret >= bar.call {
				all = append(all, w.value)
			}
		}
		return all
	}
	for len(h.Ops) < ops {
		c := r.IntN(clients)
		if s := busy[c]; s != nil {
			busy[c] = nil
			op := &h.Ops[s.op]
			if op.Kind == Get {
				all := admissible(op)
				op.Value = all[r.IntN(len(all))]
				op.Absent = op.Value == 0
			}
			outcome := OK
			if op.Kind == Put && r.IntN(20) == 0 {
				outcome = Unknown
			}
			h.End(0, s.op, outcome)
			continue
		}
		op := Op{Client: c, Kind: Get, Key: string(rune('a' + r.IntN(keys))), Size: -1}
		switch r.IntN(5) {
		case 0, 1:
			op.Kind, op.Value = Put, ValueID(len(h.Ops)+1)
		case 2:
			op.Kind = Delete
		}
		busy[c] = &state{op: h.Begin(0, op)}
	}
	return h
}

func TestLongHonestHistories(t *testing.T) {
	for seed := range uint64(20) {
		h := regular(rand.New(rand.NewPCG(seed, 2)), 12, 400, 3)
		v, err := Agree(h, 0)
		if err != nil || len(v.Violations) > 0 || len(v.Report.Unknown) > 0 {
			t.Fatalf("seed %d: %v %v %v", seed, err, v.Violations, v.Report)
		}
	}
}

// TestBudget wants a spent budget to be neither fine nor illegal.
func TestBudget(t *testing.T) {
	h := regular(rand.New(rand.NewPCG(1, 2)), 4, 100, 1)
	if rep := Porcupine(h, 10); len(rep.Unknown) != 1 || len(rep.Illegal) != 0 {
		t.Errorf("10 steps gave %+v", rep)
	}
}

// hot returns a long honest history on one key, cheaply.
func hot(clients, ops int) *History {
	h := &History{}
	var open []int
	last := ValueID(0)
	for i := range ops {
		op := Op{Client: i % clients, Kind: Get, Key: "hot", Size: -1}
		if i%3 == 0 {
			op.Kind, op.Value = Put, ValueID(i+1)
		}
		open = append(open, h.Begin(0, op))
		if len(open) == clients {
			at := open[0]
			open = open[1:]
			if o := &h.Ops[at]; o.Kind == Put {
				last = o.Value
			} else {
				o.Value, o.Absent = last, last == 0
			}
			h.End(0, at, OK)
		}
	}
	return h
}

func BenchmarkDirect(b *testing.B) {
	h := hot(20, 10_000)
	b.ResetTimer()
	for range b.N {
		if v := Direct(h); len(v) > 0 {
			b.Fatal(v[0])
		}
	}
}

func BenchmarkPorcupine(b *testing.B) {
	h := hot(20, 10_000)
	b.ResetTimer()
	for range b.N {
		if r := Porcupine(h, 0); len(r.Illegal)+len(r.Unknown) > 0 {
			b.Fatal(r)
		}
	}
}
