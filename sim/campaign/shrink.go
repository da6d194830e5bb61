package campaign

import (
	"errors"
	"fmt"
	"slices"

	"granary/sim/check"
	"granary/sim/fault"
)

// ErrPasses is returned by Shrink for a plan that does not fail.
var ErrPasses = errors.New("the plan does not fail")

// partsMax is more than any list has lines.
const partsMax = 1 << 20

// shrinker makes a failing plan smaller.
type shrinker struct {
	best   *Plan
	kind   check.Fault // of the failure; empty for an error of the run
	runs   int         // left
	parts  int         // into which lists are divided at most: more in every pass
	report func(string)
}

// Shrink returns a smaller plan that fails in the same way: with a violation of the same kind as the first
// one of p, or with an error. It drops faults, operations, nodes and whatever is special about the cluster,
// by halves, quarters and so on (delta debugging), in at most so many runs. What it returns still fails,
// and is the smallest it found. report, if not nil, is told of progress.
//
// Errors: ErrPasses.
func Shrink(p *Plan, runs int, report func(string)) (*Plan, error) {
	first := Run(p, Options{})
	if !first.Failed() {
		return nil, ErrPasses
	}
	s := &shrinker{best: p.clone(), runs: runs - 1, parts: 4, report: report}
	if len(first.Violations) > 0 {
		s.kind = first.Violations[0].Fault
	}
	for size := -1; s.runs > 0 && (size != s.best.size() || s.parts < partsMax); s.parts *= 8 {
		size = s.best.size()
		minimize(s, "faults", s.best.Faults, func(q *Plan, part []int) { q.Faults = pick(q.Faults, part) })
		s.lines()
		s.nodes()
		s.config()
	}
	return s.best, nil
}

// size is the number of lines of a plan.
func (p *Plan) size() int {
	return len(p.Faults) + len(p.Ops) + len(p.Late) + len(p.Items) + len(p.Config.Nodes)
}

// lines drops operations.
func (s *shrinker) lines() {
	minimize(s, "items", s.best.Items, func(q *Plan, part []int) {
		kept := pick(q.Items, part)
		carry(part, func(i, j int) bool { return q.Items[i].Client == q.Items[j].Client },
			func(i, j int) { kept[i].Pause += q.Items[j].Pause })
		q.Items = kept
	})
	minimize(s, "late operations", s.best.Late, func(q *Plan, part []int) { q.Late = pick(q.Late, part) })
	minimize(s, "operations", s.best.Ops, func(q *Plan, part []int) {
		kept := pick(q.Ops, part)
		carry(part, func(i, j int) bool { return q.Ops[i].Client == q.Ops[j].Client },
			func(i, j int) { kept[i].Pause += q.Ops[j].Pause })
		q.Ops = kept
	})
}

// carry calls add(i, j) for every line j that is dropped before the i-th of the lines that are kept, and
// after the one of the same client before that: so the pauses of what is dropped are not lost, and what is
// kept happens when it did.
func carry(part []int, same func(i, j int) bool, add func(i, j int)) {
	for i, at := range part {
		for j := at - 1; j >= 0; j-- {
			if !same(at, j) {
				continue
			}
			if _, kept := slices.BinarySearch(part, j); kept {
				break
			}
			add(i, j)
		}
	}
}

// nodes drops nodes: what was asked of them is asked of the first, and faults that name them are gone.
func (s *shrinker) nodes() {
	for i := len(s.best.Config.Nodes) - 1; i >= 0; i-- {
		q := s.best.clone()
		name := q.Config.Nodes[i]
		q.Config.Nodes = slices.Delete(q.Config.Nodes, i, i+1)
		named := func(v string) bool { return v == name }
		q.Config.Victims = slices.DeleteFunc(q.Config.Victims, named)
		q.Config.Gateways = slices.DeleteFunc(q.Config.Gateways, named)
		for j := range q.Ops {
			if at := q.Ops[j].Node; at == i {
				q.Ops[j].Node = 0
			} else if at > i {
				q.Ops[j].Node--
			}
		}
		q.Faults = slices.DeleteFunc(q.Faults, func(e fault.Event) bool { return e.On == name })
		if len(q.Config.Nodes) >= 3 && s.fails(q) {
			s.take(q, "a node")
		}
	}
}

// config makes the cluster plainer.
func (s *shrinker) config() {
	for _, f := range []func(c *Config){
		func(c *Config) { c.Shuffle = false }, func(c *Config) { c.Yield = 0 },
		func(c *Config) { c.Buggify = false }, func(c *Config) { c.Commit = 0 },
		func(c *Config) { c.SSD = false }, func(c *Config) { c.NoSync = false },
		func(c *Config) { c.Compress = false }, func(c *Config) { c.EncodeSelf = false },
		func(c *Config) { c.Jitter = 0 }, func(c *Config) { c.Gateways = nil },
		func(c *Config) { c.Level = "" }, func(c *Config) { c.Resting = false },
		func(c *Config) { c.Keep = 0 },
	} {
		q := s.best.clone()
		if f(&q.Config); !q.Config.equal(&s.best.Config) && s.fails(q) {
			s.take(q, "an option")
		}
	}
}

func (c *Config) equal(o *Config) bool { return fmt.Sprint(*c) == fmt.Sprint(*o) }

// minimize drops parts of a list of the best plan: all of it, halves, quarters, at last single lines.
func minimize[T any](s *shrinker, what string, list []T, cut func(q *Plan, part []int)) {
	kept := make([]int, len(list))
	for i := range kept {
		kept[i] = i
	}
	base := s.best.clone()
	try := func(part []int) bool {
		q := base.clone()
		cut(q, part)
		if len(part) == len(kept) || !s.fails(q) {
			return false
		}
		kept = part
		s.take(q, what)
		return true
	}
	if len(kept) > 0 && try(nil) {
		return
	}
	for parts := 2; len(kept) > 1 && parts <= min(len(kept), s.parts) && s.runs > 0; {
		smaller := false
		for i := 0; i < parts && s.runs > 0; i++ {
			from, to := i*len(kept)/parts, (i+1)*len(kept)/parts
			if part := slices.Delete(slices.Clone(kept), from, to); to > from && try(part) {
				smaller, parts = true, max(parts-1, 2)
				break
			}
		}
		if !smaller {
			if parts == len(kept) || parts == s.parts {
				return
			}
			parts = min(2*parts, len(kept), s.parts)
		}
	}
}

// pick returns the elements at the places of part.
func pick[T any](list []T, part []int) []T {
	var kept []T
	for _, i := range part {
		kept = append(kept, list[i])
	}
	return kept
}

// fails runs a plan and reports whether it fails as the first one did.
func (s *shrinker) fails(p *Plan) bool {
	if s.runs <= 0 {
		return false
	}
	s.runs--
	r := Run(p, Options{})
	if s.kind == "" {
		return r.Err != nil
	}
	return slices.ContainsFunc(r.Violations, func(v check.Violation) bool { return v.Fault == s.kind })
}

func (s *shrinker) take(p *Plan, what string) {
	s.best = p
	if s.report != nil {
		s.report(fmt.Sprintf("without some %s: %d faults, %d operations, %d nodes; %d runs left", what,
			len(p.Faults), len(p.Ops)+len(p.Late)+len(p.Items), len(p.Config.Nodes), s.runs))
	}
}
