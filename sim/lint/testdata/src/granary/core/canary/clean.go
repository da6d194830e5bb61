package canary

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"sort"
	"strings"
)

type pair struct {
	k string
	v int
}

// All of this is deterministic, and provably so: not one finding below.

func collected(m map[string]int, more []string) []string {
	var ks []string
	for k := range m {
		ks = append(ks, k)
	}
	ks = append(ks, more...)
	if len(ks) == 0 || ks == nil {
		return nil
	}
	slices.Sort(ks)
	return ks
}

func collectedPairs(ms []map[string]int) []pair {
	var ps []pair
	for _, m := range ms {
		for k, v := range m {
			if v == 0 || strings.HasPrefix(k, ".") {
				continue
			}
			ps = append(ps, pair{k: k, v: v})
		}
	}
	slices.SortFunc(ps, func(a, b pair) int { return cmp.Compare(a.k, b.k) })
	return ps
}

func perRound(ms []map[string]int) {
	var ks []string
	for _, m := range ms {
		ks = ks[:0]
		for k := range m {
			ks = append(ks, k)
		}
		sort.Strings(ks)
		send(ks)
	}
}

func wrappedWhole(m map[string]int) {
	ks := make([]string, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	sort.Sort(byLen(ks))
	send(ks)
}

func iterated(m map[string]int, v reflect.Value) {
	send(slices.Sorted(maps.Keys(m)))
	vs := slices.Collect(maps.Values(m))
	slices.Sort(vs)
	ks := v.MapKeys()
	sort.Slice(ks, func(i, j int) bool { return ks[i].Int() < ks[j].Int() })
	send(vs, ks, maps.Collect(maps.All(m)))
	maps.DeleteFunc(m, func(k string, v int) bool { return v == 0 && k != "" })
}

type counter struct{ total, high int }

func folded(m map[string][]int, c *counter) (empty bool) {
	for range m {
		send("same every round")
	}
	n := 0
	for _, vs := range m {
		n++
		c.total += len(vs)
		for _, v := range vs {
			c.high = max(c.high, v)
			if v < 0 {
				break
			}
		}
	}
	for _, vs := range m {
		if len(vs) == 0 {
			empty = true
			break
		}
	}
	return empty && n > 1
}

func copied(from, to map[string]int, groups map[string][]int) {
	for k, v := range from {
		to[k] = v
		groups[k] = append(groups[k], v+1)
	}
	for k, v := range from {
		switch half := v / 2; {
		case half > 3:
			delete(to, k)
			delete(from, k)
		default:
			to[k]++
		}
	}
}

func equal(a, b map[string]int) bool {
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

func nested(m map[string][]string) map[string][]string {
	out := map[string][]string{}
	for k, inner := range m {
		var names []string
		for _, s := range inner {
			names = append(names, strings.ToLower(s))
		}
		out[k] = names
	}
	return out
}
