package crdttest

import (
	"fmt"
	"strings"
	"testing"
)

type recorder struct{ faults []string }

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}
func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...) }

type first struct{ V uint64 } // Join keeps the receiver: not commutative

func (f first) Join(first) first { return f }

type sum struct{ V uint64 } // not idempotent

func (s sum) Join(o sum) sum { return sum{s.V + o.V} }

type vandal struct{ V []uint64 } // changes its operand

func (v vandal) Join(o vandal) vandal {
	for i := range min(len(v.V), len(o.V)) {
		v.V[i] = max(v.V[i], o.V[i])
	}
	return v
}

type private struct{ v uint64 } // loses its value on the wire

func (p private) Join(o private) private { return private{max(p.v, o.v)} }

// TestCheckNotices: a checker that cannot fail is worth nothing.
func TestCheckNotices(t *testing.T) {
	var r recorder
	check := func(name, want string, f func(Reporter)) {
		r = recorder{}
		f(&r)
		if all := strings.Join(r.faults, "\n"); !strings.Contains(all, want) {
			t.Errorf("%s: want a fault with %q, got:\n%s", name, want, all)
		}
	}
	check("first", "commutative", func(r Reporter) { Check(r, first{1}, first{2}, first{3}) })
	check("sum", "idempotent", func(r Reporter) { Check(r, sum{1}, sum{2}, sum{3}) })
	check("vandal", "changed operand", func(r Reporter) {
		Check(r, vandal{[]uint64{1}}, vandal{[]uint64{2}}, vandal{[]uint64{3}})
	})
	check("private", "decoded", func(r Reporter) { Check(r, private{1}, private{2}, private{3}) })
}
