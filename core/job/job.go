// Package job is the one progress object of all background work: how much is done of how much, how fast, what
// stands in its way; and the pause and the speed that a person can ask for.
//
// A pass of a job begins with [Job.Begin] and counts up to its total; a job that never ends begins another.
// Jobs ask [Job.Gate] between small steps, which waits while the job is paused, or [Job.Pace], which also
// keeps the job below its speed. Neither pause nor speed is remembered over a restart of the node.
package job

import (
	"cmp"
	"context"
	"slices"
	"time"

	"granary/core/rt"
)

// Book has the jobs of a node. Safe for concurrent use.
type Book struct {
	env  rt.Env
	lock rt.Locker
	jobs []*Job
}

// NewBook returns a book without jobs.
func NewBook(env rt.Env) *Book { return &Book{env: env, lock: env.NewLock()} }

// New adds a job. name is unique and typed by people; unit says, in the plural, what it counts.
func (b *Book) New(name, unit string) *Job {
	j := &Job{env: b.env, lock: b.env.NewLock(), name: name, unit: unit}
	b.lock.Lock()
	defer b.lock.Unlock()
	b.jobs = append(b.jobs, j)
	return j
}

// All returns the states of the jobs, ordered by name.
func (b *Book) All() []State {
	b.lock.Lock()
	jobs := slices.Clone(b.jobs)
	b.lock.Unlock()
	states := make([]State, len(jobs))
	for i, j := range jobs {
		states[i] = j.State()
	}
	slices.SortFunc(states, func(x, y State) int { return cmp.Compare(x.Name, y.Name) })
	return states
}

// Find returns the job of a name, nil if there is none.
func (b *Book) Find(name string) *Job {
	b.lock.Lock()
	defer b.lock.Unlock()
	for _, j := range b.jobs {
		if j.name == name {
			return j
		}
	}
	return nil
}

// Job is one background work. Safe for concurrent use.
type Job struct {
	env  rt.Env
	name string
	unit string

	lock   rt.Locker
	passes int64
	done   int64
	total  int64
	bytes  int64 // moved in this pass
	cause  string
	speed  int64                // bytes per second; 0: no limit
	free   time.Duration        // when the bytes that were paced so far have had their time
	began  time.Duration        // when the pass began, moved on by the length of pauses
	paused *rt.Future[struct{}] // set by Resume; nil while the job may run
	since  time.Duration        // of the pause
}

// State describes a job at a moment.
type State struct {
	Name string
	Unit string
	// Passes is how many were finished.
	Passes int64
	// Done of Total in this pass; neither goes back before the next one begins.
	Done, Total int64
	// Rate is units per second in this pass, pauses left out; 0 while it cannot be told.
	Rate float64
	// ETA is the time to the end of the pass at that rate; 0 if it is done or cannot be told.
	ETA time.Duration
	// Bytes is how many were moved in this pass, and BytesRate how many per second; 0 for a job that does not
	// count them.
	Bytes     int64
	BytesRate float64
	// Speed is the most bytes per second that the job moves; 0 for no limit.
	Speed int64
	// Cause is what stands in its way, in words; empty for nothing.
	Cause  string
	Paused bool
}

// Begin starts a pass over total units; one that was going on counts as finished.
func (j *Job) Begin(total int64) {
	j.lock.Lock()
	defer j.lock.Unlock()
	if j.total > 0 {
		j.passes++
	}
	j.done, j.total, j.bytes, j.began = 0, total, 0, j.env.Now()
	if j.paused != nil {
		j.since = j.began
	}
	j.show()
}

// show tells the metrics where the job is. Under lock.
func (j *Job) show() {
	paused := 0.0
	if j.paused != nil {
		paused = 1
	}
	j.env.Gauge("job_done", float64(j.done), "job", j.name)
	j.env.Gauge("job_total", float64(j.total), "job", j.name)
	j.env.Gauge("job_paused", paused, "job", j.name)
}

// Add counts units as done. More than the total makes the total grow.
func (j *Job) Add(units int64) {
	j.lock.Lock()
	defer j.lock.Unlock()
	j.done += units
	j.total = max(j.total, j.done)
	j.show()
}

// Expect makes the total of this pass greater: more was found to do.
func (j *Job) Expect(units int64) {
	j.lock.Lock()
	defer j.lock.Unlock()
	j.total += units
	j.show()
}

// SetSpeed bounds the bytes per second that Pace lets pass; 0 for no limit.
func (j *Job) SetSpeed(bytesPerSecond int64) {
	j.lock.Lock()
	defer j.lock.Unlock()
	j.speed, j.free = max(0, bytesPerSecond), j.env.Now()
}

// Pace counts bytes as moved and waits until the job may move more: while it is paused, and until the bytes
// moved so far have had their time at the job's speed. It may be called by several tasks at once, which share
// the speed. It returns ctx's error when ctx ends first.
func (j *Job) Pace(ctx context.Context, bytes int64) error {
	j.lock.Lock()
	now := j.env.Now()
	j.bytes += bytes
	j.env.Count("job_bytes_total", float64(bytes), "job", j.name)
	var wait time.Duration
	if j.speed > 0 {
		seconds, rest := bytes/j.speed, bytes%j.speed
		j.free = max(j.free, now) + time.Duration(seconds)*time.Second +
			time.Duration(rest*int64(time.Second/time.Microsecond)/j.speed)*time.Microsecond
		wait = j.free - now
	}
	j.lock.Unlock()
	if wait > 0 {
		if err := j.env.Sleep(ctx, wait); err != nil {
			return err
		}
	}
	return j.Gate(ctx)
}

// Hinder notes what stands in the way; nil for nothing any more.
func (j *Job) Hinder(cause error) {
	j.lock.Lock()
	defer j.lock.Unlock()
	j.cause = ""
	if cause != nil {
		j.cause = cause.Error()
	}
}

// Pause makes the job stop at its next Gate.
func (j *Job) Pause() {
	j.lock.Lock()
	defer j.lock.Unlock()
	if j.paused == nil {
		j.paused, j.since = rt.NewFuture[struct{}](j.env), j.env.Now()
		j.show()
	}
}

// Resume lets a paused job go on.
func (j *Job) Resume() {
	j.lock.Lock()
	defer j.lock.Unlock()
	if j.paused == nil {
		return
	}
	j.began += j.env.Now() - j.since
	j.paused.Set(struct{}{}, nil)
	j.paused = nil
	j.show()
}

// Gate waits while the job is paused. It returns ctx's error when ctx ends first.
func (j *Job) Gate(ctx context.Context) error {
	for {
		j.lock.Lock()
		paused := j.paused
		j.lock.Unlock()
		if paused == nil {
			return nil
		}
		if _, err := paused.Get(ctx); err != nil {
			return err
		}
	}
}

// State describes the job now.
func (j *Job) State() State {
	j.lock.Lock()
	defer j.lock.Unlock()
	s := State{Name: j.name, Unit: j.unit, Passes: j.passes, Done: j.done, Total: j.total, Cause: j.cause,
		Bytes: j.bytes, Speed: j.speed, Paused: j.paused != nil}
	now := j.env.Now()
	if s.Paused {
		now = j.since
	}
	took := now - j.began
	if took > 0 {
		s.BytesRate = float64(j.bytes) / took.Seconds()
	}
	if took > 0 && j.done > 0 {
		s.Rate = float64(j.done) / took.Seconds()
		if left := j.total - j.done; left > 0 && !s.Paused {
			s.ETA = time.Duration(float64(left) / s.Rate * float64(time.Second)).Round(time.Second)
		}
	}
	return s
}
