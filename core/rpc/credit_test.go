package rpc

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever the order of sending, arriving, reading and granting: the receiver never buffers more than its
// window, and when all is read and granted the sender can go on.
func TestCreditLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window := rapid.IntRange(1, 1000).Draw(t, "window")
		send, recv := sendCredit{left: int64(window)}, newRecvCredit(window)
		var flying, grants []int
		buffered := 0
		check := func() {
			if int64(buffered)+recv.open+recv.owed != recv.window {
				t.Fatalf("%d buffered, and %+v", buffered, recv)
			}
		}
		steps := map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				if n := send.take(rapid.IntRange(1, 300).Draw(t, "n")); n > 0 {
					flying = append(flying, n)
				}
			},
			"arrive": func(t *rapid.T) {
				if len(flying) == 0 {
					return
				}
				if err := recv.arrived(flying[0]); err != nil {
					t.Fatal(err)
				}
				buffered += flying[0]
				flying = flying[1:]
			},
			"read": func(t *rapid.T) {
				n := rapid.IntRange(0, buffered).Draw(t, "n")
				buffered -= n
				if more := recv.consumed(n); more > 0 {
					grants = append(grants, int(more))
				}
			},
			"grant": func(t *rapid.T) {
				if len(grants) == 0 {
					return
				}
				if err := send.grant(uint32(grants[0])); err != nil {
					t.Fatal(err)
				}
				grants = grants[1:]
			},
			"": func(*rapid.T) { check() },
		}
		t.Repeat(steps)
		for _, n := range flying {
			if err := recv.arrived(n); err != nil {
				t.Fatal(err)
			}
			buffered += n
		}
		if more := recv.consumed(buffered); more > 0 {
			grants = append(grants, int(more))
		}
		for _, n := range grants {
			_ = send.grant(uint32(n))
		}
		if send.left == 0 {
			t.Fatalf("all is read, and the sender still waits: %+v", recv)
		}
	})
}

func TestCreditRefusals(t *testing.T) {
	recv := newRecvCredit(10)
	if err := recv.arrived(11); err == nil {
		t.Error("11 bytes were taken on a credit of 10")
	}
	send := sendCredit{left: 10}
	for _, more := range []uint32{0, windowMax} {
		if err := send.grant(more); err == nil {
			t.Errorf("a grant of %d was taken", more)
		}
	}
}

func TestRTT(t *testing.T) {
	var r RTT
	r.add(80 * time.Millisecond)
	if want := (RTT{80 * time.Millisecond, 40 * time.Millisecond}); r != want {
		t.Errorf("first sample: %v, want %v", r, want)
	}
	for range 200 {
		r.add(100 * time.Millisecond)
	}
	if r.Mean < 99*time.Millisecond || r.Mean > 100*time.Millisecond || r.Dev > time.Millisecond {
		t.Errorf("after many samples of 100 ms: %v", r)
	}
	r.add(900 * time.Millisecond)
	if r.Mean < 199*time.Millisecond || r.Mean > 201*time.Millisecond || r.Dev < 200*time.Millisecond {
		t.Errorf("after one of 900 ms: %v, want a mean of 200 ms and a deviation of 200 ms", r)
	}
}

func TestValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err == nil {
		t.Error("a configuration without a clock is valid")
	}
	err := Config{}.Validate()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) < 10 {
		t.Errorf("not every fault of the zero Config was reported: %v", err)
	}
}
