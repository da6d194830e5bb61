package rpc_test

import (
	"testing"
	"time"

	"granary/netsim"
)

// TestBandwidth: a line that is filled for some seconds is measured, to a tenth; one that is not is unknown.
func TestBandwidth(t *testing.T) {
	w := newTown(t, nil)
	const rate = 5 << 20
	path := netsim.Path{Delay: 50 * time.Millisecond, Bandwidth: netsim.Rate(rate * 8)}
	for _, way := range [][2]string{{"a", "b"}, {"b", "a"}} {
		if err := w.net.Model().SetLink(netsim.Link{From: way[0], To: way[1], Path: path}); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		w.do(func() { take(t, w, 1000) })
		w.pass(time.Second)
	}
	if got := w.ep[0].Bandwidth(w.peer()); got != 0 {
		t.Errorf("a line that rested has %d bytes per second, want none measured", got)
	}
	left := 8
	for range left {
		w.env[0].Go("load", func() {
			defer func() { left-- }()
			for range 6 {
				take(t, w, 1<<20)
			}
		})
	}
	w.until(func() bool { return left == 0 })
	if got := w.ep[0].Bandwidth(w.peer()); got < rate*9/10 || got > rate*11/10 {
		t.Errorf("%d bytes per second, the line takes %d", got, rate)
	}
	if got := w.ep[0].Bandwidth(w.ep[0].Self()); got != 0 {
		t.Errorf("to itself: %d", got)
	}
}

// take sends so many bytes, from a task of the first node.
func take(t *testing.T, w *town, bytes int) {
	req := &number{Data: make([]byte, bytes)}
	if _, err := methodTake.Call(w.env[0].Background(), w.ep[0], w.peer(), req); err != nil {
		t.Error(err)
	}
}
