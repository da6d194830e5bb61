package job_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"granary/core/job"
	"granary/core/rt"
	"granary/sim/sched"
)

// run runs f as a task of a node in a simulated world.
func run(t *testing.T, f func(env rt.Env)) {
	t.Helper()
	s := sched.New(sched.Options{Seed: 1})
	t.Cleanup(s.Stop)
	env := s.NewEnv(rt.NodeID{1}, "a")
	env.Go("test", func() { f(env) })
	if err := s.Run(time.Hour); err != nil {
		t.Fatal(err)
	}
}

// A pass has a rate and an end in sight; pauses count in neither, and nothing goes back before the next pass.
func TestProgress(t *testing.T) {
	run(t, func(env rt.Env) {
		book := job.NewBook(env)
		j := book.New("scrub", "blocks")
		book.New("audit", "rows")
		sleep := func(d time.Duration) { env.Sleep(env.Background(), d) }
		want := func(w job.State) {
			t.Helper()
			w.Name, w.Unit = "scrub", "blocks"
			if got := book.All()[1]; got != w {
				t.Errorf("%+v, want %+v", got, w)
			}
		}
		want(job.State{})
		sleep(time.Second)
		j.Begin(100)
		want(job.State{Total: 100})
		sleep(10 * time.Second)
		j.Add(20)
		want(job.State{Total: 100, Done: 20, Rate: 2, ETA: 40 * time.Second})
		j.Pause()
		sleep(time.Minute)
		j.Hinder(errors.New("disk full"))
		want(job.State{Total: 100, Done: 20, Rate: 2, Paused: true, Cause: "disk full"})
		j.Resume()
		j.Hinder(nil)
		want(job.State{Total: 100, Done: 20, Rate: 2, ETA: 40 * time.Second})
		j.Add(180)
		want(job.State{Total: 200, Done: 200, Rate: 20})
		j.Begin(5)
		want(job.State{Total: 5, Passes: 1})
		if book.Find("scrub") != j || book.Find("scrubs") != nil {
			t.Error("found the wrong job")
		}
	})
}

// A paused job waits at its gate until it is resumed, or its context ends.
func TestGate(t *testing.T) {
	run(t, func(env rt.Env) {
		j := job.NewBook(env).New("scrub", "blocks")
		if err := j.Gate(env.Background()); err != nil {
			t.Error(err)
		}
		j.Pause()
		j.Pause()
		ctx, cancel := env.WithTimeout(env.Background(), time.Second)
		defer cancel()
		if err := j.Gate(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v at a closed gate", err)
		}
		g := rt.NewGroup(env, env.Background())
		var passed time.Duration
		g.Go("waits", func(ctx context.Context) error {
			err := j.Gate(ctx)
			passed = env.Now()
			return err
		})
		env.Sleep(env.Background(), time.Minute)
		j.Resume()
		j.Resume()
		if err := g.Wait(); err != nil || passed != env.Now() {
			t.Errorf("passed at %v, now %v, %v", passed, env.Now(), err)
		}
	})
}

// Tasks that pace themselves share the job's speed; a new speed holds from the next call on.
func TestPace(t *testing.T) {
	run(t, func(env rt.Env) {
		j := job.NewBook(env).New("scrub", "blocks")
		j.SetSpeed(1000)
		j.Begin(8)
		took := func(tasks int, bytes int64) time.Duration {
			began := env.Now()
			g := rt.NewGroup(env, env.Background())
			for range tasks {
				g.Go("mover", func(ctx context.Context) error { return j.Pace(ctx, bytes) })
			}
			if err := g.Wait(); err != nil {
				t.Error(err)
			}
			return env.Now() - began
		}
		for _, tt := range []struct {
			speed, bytes int64
			want         time.Duration
		}{{1000, 500, 2 * time.Second}, {2000, 500, time.Second}, {0, 1 << 40, 0},
			{3, 1, 1333332 * time.Microsecond}} {
			j.SetSpeed(tt.speed)
			if got := took(4, tt.bytes); got != tt.want {
				t.Errorf("4 times %d bytes at %d/s took %v, want %v", tt.bytes, tt.speed, got, tt.want)
			}
		}
		if s := j.State(); s.Bytes != 4<<40+4004 || s.BytesRate == 0 || s.Speed != 3 {
			t.Errorf("%+v", s)
		}
		j.Expect(2)
		if s := j.State(); s.Total != 10 {
			t.Errorf("%+v", s)
		}
	})
}
