package s3

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"granary/core/rt"
	"granary/sim/sched"
)

// slowBody is a body whose every byte takes a millisecond of virtual time to arrive.
type slowBody struct {
	env  rt.Env
	rest string
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.rest == "" {
		return 0, io.EOF
	}
	if err := b.env.Sleep(b.env.Background(), time.Millisecond); err != nil {
		return 0, err
	}
	n := copy(p[:1], b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *slowBody) Close() error { return nil }

// TestSimulated serves many requests at once as tasks of the simulator, which panics when a lock is held
// across a wait.
func TestSimulated(t *testing.T) {
	s := sched.New(sched.Options{Seed: 7})
	env := s.NewEnv(rt.NodeID{1}, "node")
	w := newWorld(t)
	w.store.now = func() time.Time { return epoch }
	done := 0
	env.Go("clients", func() {
		w.env.wall = env.Wall()
		h := New(Config{Env: env, Objects: w.store, Buckets: fakeBuckets{w.store}, Region: region})
		g := rt.NewGroup(env, env.Background())
		for i := range 20 {
			g.Go("client", func(context.Context) error {
				data := strings.Repeat("x", 10+i)
				r := w.request(ask{method: "PUT", target: "/bucket/" + itoa(int64(i)), body: data})
				r.Body = &slowBody{env: env, rest: data}
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, r)
				if rec.Code != 200 {
					t.Errorf("put %d: %d %s", i, rec.Code, rec.Body)
				}
				rec = httptest.NewRecorder()
				h.ServeHTTP(rec, w.request(ask{method: "GET", target: "/bucket/" + itoa(int64(i))}))
				if rec.Body.String() != data {
					t.Errorf("get %d: %d %q", i, rec.Code, rec.Body)
				}
				done++
				return nil
			})
		}
		g.Wait()
	})
	if err := s.Run(time.Minute); err != nil {
		t.Fatal(err)
	}
	if done != 20 || len(w.store.objects[bucketID("bucket")]) != 20 {
		t.Errorf("%d requests of 20 ended", done)
	}
	s.Stop()
}
