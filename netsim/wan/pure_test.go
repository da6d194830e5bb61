package wan

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The heap gives parcels in the order of their due times, and of reading where those are equal.
func TestHeapSorts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h heap
		var model []parcel // ascending
		var order uint64
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				order++
				p := parcel{due: time.Duration(rapid.IntRange(0, 9).Draw(t, "due")), order: order}
				h.push(p)
				i, _ := slices.BinarySearchFunc(model, p, func(a, b parcel) int {
					if a.before(&b) {
						return -1
					}
					return 1
				})
				model = slices.Insert(model, i, p)
			},
			"pop": func(t *rapid.T) {
				if len(model) == 0 {
					t.Skip("empty")
				}
				if got := h.pop(); got.order != model[0].order {
					t.Fatalf("popped number %d due at %d, want number %d due at %d", got.order, got.due,
						model[0].order, model[0].due)
				}
				model = model[1:]
			},
			"": func(t *rapid.T) {
				if len(h) != len(model) {
					t.Fatalf("%d in the heap, want %d", len(h), len(model))
				}
			},
		})
	})
}

func TestErrorQuantiles(t *testing.T) {
	var e Errors
	if got := e.Quantile(990); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	for i := range 1000 {
		e.add(time.Duration(i) * time.Microsecond) // 0 to 999 µs
	}
	e.add(-time.Microsecond)
	e.add(time.Second)
	for perMille, want := range map[int64]time.Duration{1: 10 * time.Microsecond, 500: 510 * time.Microsecond,
		990: 1000 * time.Microsecond, 999: time.Millisecond, 1000: time.Second} {
		if got := e.Quantile(perMille); (got - want).Abs() > step {
			t.Errorf("%d of 1000: %v, want %v", perMille, got, want)
		}
	}
	if e.Max != time.Second || e.Total != 1002 {
		t.Errorf("%d errors, at most %v", e.Total, e.Max)
	}
}

func TestPoolKeepsSizes(t *testing.T) {
	var p pool
	for _, size := range []int{1, smallBytes, smallBytes + 1, largeBytes} {
		b := p.get(make([]byte, size))
		if len(b) != size {
			t.Errorf("%d bytes became %d", size, len(b))
		}
		p.put(b)
	}
	if len(p.small) != 1 || len(p.large) != 1 {
		t.Errorf("kept %d small and %d large buffers, want one of each", len(p.small), len(p.large))
	}
}
