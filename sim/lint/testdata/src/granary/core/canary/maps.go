package canary

import (
	"maps"
	"reflect"
	"slices"
	"sort"
	"strings"
)

func send(...any) {}

func plain(m map[string]int, n *struct{ total int }) {
	for k := range m { // want `range over a map: range over rt.Sorted`
		send(k)
	}
	for _, v := range m { // want `range over a map`
		send(v)
	}
	var last string
	for last = range m { // want `range over a map`
	}
	for k := range m { // want `range over a map`
		last = k
	}
	sum := 0.0
	for _, v := range m { // want `range over a map`
		sum += float64(v)
	}
	for k, v := range m { // want `range over a map`
		if v > n.total {
			n.total = v
			last = k
		}
	}
	for _, v := range m { // want `range over a map`
		n.total += v
		send(n)
	}
	for _, v := range m { // want `range over a map`
		if n.total < 10 {
			n.total += v
		}
	}
	x := 1
	for _, v := range m { // want `range over a map`
		x += v
		x *= 2
	}
	send(last, sum)
}

func unsorted(m map[string]int) []string {
	var ks []string
	for k := range m { // want `range over a map`
		ks = append(ks, k)
	}
	return ks
}

func sortedTooLate(m map[string]int) {
	var ks []string
	for k := range m { // want `range over a map`
		ks = append(ks, k)
	}
	send(ks)
	slices.Sort(ks)
}

func sortedSometimes(m map[string]int, b bool) []string {
	var ks []string
	for k := range m { // want `range over a map`
		ks = append(ks, k)
	}
	if b {
		slices.Sort(ks)
	}
	return ks
}

func sortedOther(m map[string]int) []string {
	var ks, other []string
	for k := range m { // want `range over a map`
		ks = append(ks, k)
	}
	slices.Sort(other)
	return ks
}

func sortedElsewhere(m map[string]int) []string {
	var ks []string
	for k := range m { // want `range over a map`
		ks = append(ks, k)
	}
	defer slices.Sort(ks)
	f := func() { slices.Sort(ks) }
	f()
	return ks
}

func sortedAfterReturn(m map[string]int, b bool) (ks []string) {
	for k := range m { // want `range over a map`
		ks = append(ks, k)
	}
	if b {
		return
	}
	slices.Sort(ks)
	return ks
}

func seenInOuterLoop(ms []map[string]int) {
	var ks []string
	for _, m := range ms {
		send(ks)
		for k := range m { // want `range over a map`
			ks = append(ks, k)
		}
	}
	slices.Sort(ks)
}

func truncated(m map[string]int) {
	var ks []string
	for k := range m { // want `range over a map`
		if len(ks) < 3 {
			ks = append(ks, k)
		}
	}
	for k := range m { // want `range over a map`
		ks = append(ks, k)
		break
	}
	for k := range m { // want `range over a map`
		ks = append(ks, name(k))
	}
	for k := range m { // want `range over a map`
		ks = append(ks, strings.Map(shift, k))
	}
	slices.Sort(ks)
}

func shift(r rune) rune { send(r); return r }

func name(s string) string { send(s); return s }

func otherMaps(m map[string]int, other map[string]int) {
	for k, v := range m { // want `range over a map`
		other["last"] = v
		send(k)
	}
	for k := range m { // want `range over a map`
		other[k] = len(other)
	}
	for k, v := range m { // want `range over a map`
		other[k] = other["first"] + v
	}
	for k := range m { // want `range over a map`
		delete(other, k+"x")
		other[k] = 1
	}
	for _, v := range m { // want `range over a map`
		other["x"] = v
	}
	for k := range maps.Values(map[int]string{}) { // want `maps.Values: range over rt.Sorted`
		other[k] = len(k)
	}
}

func exits(m map[string]int) string {
	for k := range m { // want `range over a map`
		return k
	}
	for _, v := range m { // want `range over a map`
		if v == 1 {
			return "one"
		}
		if v == 2 {
			return "two"
		}
	}
	for _, v := range m { // want `range over a map`
		m["seen"] = 1
		if v == 1 {
			return "one"
		}
	}
	return ""
}

func iterators(m map[string]int, v reflect.Value) {
	ks := maps.Keys(m)                   // want `maps.Keys`
	send(slices.Collect(maps.Keys(m)))   // want `maps.Keys`
	vs := slices.Collect(maps.Values(m)) // want `maps.Values`
	f := maps.All[map[string]int]        // want `maps.All`
	for k := range maps.Keys(m) {        // want `maps.Keys`
		send(k)
	}
	maps.DeleteFunc(m, func(k string, v int) bool { send(k); return true }) // want `maps.DeleteFunc`
	it := v.MapRange()                                                      // want `reflect.Value.MapRange`
	_ = v.MapKeys()                                                         // want `reflect.Value.MapKeys`
	_ = v.Seq                                                               // want `reflect.Value.Seq`
	_ = v.Seq2                                                              // want `reflect.Value.Seq2`
	send(ks, vs, f, it)
	_, _, _ = reflect.Select(nil) // want `reflect.Select`
	_ = reflect.MakeChan          // want `reflect.MakeChan`
	_ = reflect.ChanOf            // want `reflect.ChanOf`
	v.Send(v)                     // want `reflect.Value.Send`
	_, _ = v.Recv()               // want `reflect.Value.Recv`
	_ = v.TrySend(v)              // want `reflect.Value.TrySend`
	_, _ = v.TryRecv()            // want `reflect.Value.TryRecv`
}

func genericMap[M ~map[K]V, K comparable, V any](m M) {
	for k := range m { // want `range over a map`
		send(k)
	}
}

type byLen []string

func (b byLen) Len() int           { return len(b) }
func (b byLen) Less(i, j int) bool { return b[i] < b[j] }
func (b byLen) Swap(i, j int)      { b[i], b[j] = b[j], b[i] }

func wrapped(m map[string]int) {
	var ks byLen
	for k := range m { // want `range over a map`
		ks = append(ks, k)
	}
	sort.Sort(byLen(ks[1:]))
}
