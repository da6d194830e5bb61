package bucket

import (
	"time"

	"granary/core/rt"
)

// ration is a token bucket: it gives up to burst at once, and one more every interval.
type ration struct {
	env   rt.Env
	lock  rt.Locker
	burst int64
	every time.Duration
	full  time.Duration // when all of burst is there again, on the monotonic clock
}

func newRation(env rt.Env, burst int64, every time.Duration) *ration {
	return &ration{env: env, lock: env.NewLock(), burst: burst, every: every}
}

// take reports whether one is left, and takes it.
func (r *ration) take() bool {
	now := r.env.Now()
	r.lock.Lock()
	defer r.lock.Unlock()
	full := max(r.full, now)
	if full-now > time.Duration(r.burst-1)*r.every {
		return false
	}
	r.full = full + r.every
	return true
}
