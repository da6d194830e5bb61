package diskfs

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestRoundsServeWhatCameBefore is rule 3: whatever was done before share was called is covered by the run
// whose result share returns, and runs do not overlap.
func TestRoundsServeWhatCameBefore(t *testing.T) {
	const callers, calls = 16, 500
	var s rounds
	var done, covered atomic.Int64 // like renames, and those that a sync has made durable
	var inside atomic.Int32
	var runs int // by one run at a time
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range calls {
				mine := done.Add(1)
				err := s.share(func() error {
					if inside.Add(1) != 1 {
						t.Error("two runs at once")
					}
					runs++
					seen := done.Load()
					runtime.Gosched()
					covered.Store(seen)
					inside.Add(-1)
					return nil
				})
				if err != nil || covered.Load() < mine {
					t.Errorf("error %v; %d covered, %d asked", err, covered.Load(), mine)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d runs for %d calls", runs, callers*calls)
}

// TestRoundsAreShared checks the exact number of runs: one under way, one for all who came meanwhile.
func TestRoundsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s rounds
		var runs atomic.Int32
		failure := errors.New("second run")
		act := func() error {
			n := runs.Add(1)
			time.Sleep(time.Second)
			if n == 2 {
				return failure
			}
			return nil
		}
		errs := make([]error, 10)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				if i > 0 {
					time.Sleep(time.Millisecond) // while the first run is under way
				}
				errs[i] = s.share(act)
			})
		}
		wg.Wait()
		if runs.Load() != 2 {
			t.Errorf("%d runs, want 2", runs.Load())
		}
		for i, err := range errs {
			if (err == failure) != (i > 0) {
				t.Errorf("caller %d: %v", i, err)
			}
		}
		if err := s.share(act); err != nil || runs.Load() != 3 {
			t.Errorf("a later call: %v after %d runs", err, runs.Load())
		}
	})
}

// TestRoundsAbandoned checks that a leader that ends inside the action fails those who wait for it.
func TestRoundsAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s rounds
		go s.share(func() error { time.Sleep(time.Second); return nil })
		synctest.Wait()
		go s.share(func() error { runtime.Goexit(); return nil })
		synctest.Wait()
		err := s.share(func() error { t.Error("not ours to run"); return nil })
		if !errors.Is(err, errAbandoned) {
			t.Errorf("error %v, want errAbandoned", err)
		}
		if err := s.share(func() error { return nil }); err != nil {
			t.Errorf("the next call: %v", err)
		}
	})
}
