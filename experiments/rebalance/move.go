package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"granary/core/auth"
	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/layout"
	"granary/core/rt"
	"granary/netsim"
	"granary/sim/workload/wire"
	"granary/sim/world"
)

const (
	// delay is the time one way between two sites.
	delay = 25 * time.Millisecond
	// before and after are how long clients work before the change is applied, and after.
	before = 10 * time.Second
	after  = 50 * time.Second
	// asleep is how long after the change one gateway hears of nothing.
	asleep = 20 * time.Second
	// think is the mean pause of a client between two requests.
	think = 200 * time.Millisecond
	// patience is how long a client waits for an answer.
	patience = 12 * time.Second
)

// variant is a way to change a layout: which steps of the protocol are left out.
type variant struct {
	name    string
	without []string
}

var variants = []variant{
	{"all steps", nil},
	{"no fences", []string{"layout: no fence", "layout: no read fence"}},
	{"no fences or lease", []string{"layout: no fence", "layout: no read fence",
		"full-copy lease: for ever"}},
	{"at once", []string{"layout: no fence", "layout: no read fence", "layout: a syncing store votes",
		"layout: taken over from nobody"}},
}

// second is what clients saw in one second.
type second struct{ reads, stale, failed, writes int }

// run is one change: three nodes give all they have to three others, in a cluster in use.
type run struct {
	w       *world.World
	key     bucket.Key
	start   time.Duration // of the change
	seconds map[int]*second
	acked   map[string]int // newest acknowledged version by key
	lost    int            // keys whose newest acknowledged version was not there at the end
	settled time.Duration  // after start
}

// rebalance makes a run with a number of clients at each of three gateways, and a key for each client.
func rebalance(v variant, seed uint64, clients int) (*run, error) {
	w, err := makeWorld(v, seed)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	r := &run{w: w, seconds: map[int]*second{}, acked: map[string]int{}}
	if r.key, err = w.MakeBucket("bucket"); err != nil {
		return nil, err
	}
	if err := w.Sched.Run(10 * time.Second); err != nil {
		return nil, err
	}
	r.start = w.Sched.Now() + before
	err = w.Do(time.Hour, func(ctx context.Context) error {
		g := rt.NewGroup(w.Env, ctx)
		for i := range 3 * clients {
			draw := rand.New(rand.NewPCG(seed, uint64(i)))
			g.Go("client", func(ctx context.Context) error { return r.client(ctx, draw, i, clients) })
		}
		g.Go("operator", r.operate)
		return g.Wait()
	})
	if err != nil {
		return nil, err
	}
	return r, w.Do(time.Hour, func(ctx context.Context) error { return r.count(ctx, 3*clients) })
}

// makeWorld is three sites with three machines each: one stores, one will, and one is a gateway.
func makeWorld(v variant, seed uint64) (*world.World, error) {
	topology := netsim.Regular("sites", 3, 3, netsim.Path{Delay: delay}, netsim.Path{})
	o := world.Default(seed, topology)
	o.Sched.Mutants = v.without
	for i, n := range topology.Nodes {
		if i%3 > 0 {
			o.Gateways = append(o.Gateways, n.Name)
		}
	}
	w, err := world.New(o)
	if err == nil {
		err = w.Form()
	}
	return w, err
}

// gateway is the machine that client i talks to.
func (r *run) gateway(i int) int { return 3*(i%3) + 2 }

// operate moves everything from the first machines of the sites to the second ones, while the gateway of the
// first site is cut off.
func (r *run) operate(ctx context.Context) error {
	w, m := r.w, r.w.Machines
	if err := w.Env.Sleep(ctx, r.start-w.Sched.Now()); err != nil {
		return err
	}
	sleepy, live := m[r.gateway(0)].Name, m[3].Node.Cluster()
	number := live.LayoutNumber()
	err := w.Net.Model().Isolate(sleepy)
	if err == nil {
		err = w.Operate(ctx, m[3], func(ctx context.Context, c *cluster.Cluster) error {
			return move(ctx, c, m)
		})
	}
	changing := func() bool { return live.LayoutNumber() == number || live.Status().Before != nil }
	for err == nil && changing() && w.Sched.Now() < r.start+after {
		err = w.Env.Sleep(ctx, 100*time.Millisecond)
	}
	r.settled = w.Sched.Now() - r.start
	if err == nil && r.settled < asleep {
		err = w.Env.Sleep(ctx, asleep-r.settled)
	}
	return errors.Join(err, w.Net.Model().Rejoin(sleepy))
}

func move(ctx context.Context, c *cluster.Cluster, m []*world.Machine) error {
	for i := 0; i < len(m); i += 3 {
		role := layout.Role{Node: m[i+1].ID, Zone: layout.ZoneName(m[i+1].Zone), Capacity: 1 << 40}
		if err := errors.Join(c.Stage(ctx, role), c.Retire(ctx, m[i].ID)); err != nil {
			return err
		}
	}
	_, err := c.Apply(ctx)
	return err
}

// client writes a key of its own and reads those of others, until the run is over.
func (r *run) client(ctx context.Context, draw *rand.Rand, i, clients int) error {
	mine, end := fmt.Sprintf("/bucket/%04d", i), r.start+after
	for version := 1; r.w.Sched.Now() < end; version++ {
		if err := r.w.Env.Sleep(ctx, time.Duration(draw.Int64N(int64(2*think)))); err != nil {
			return err
		}
		s := r.now()
		if status, _ := r.ask(i, "PUT", mine, fmt.Sprint(version)); status == http.StatusOK {
			s.writes++
			r.acked[mine] = version
		} else {
			s.failed++
		}
		if err := r.w.Env.Sleep(ctx, time.Duration(draw.Int64N(int64(2*think)))); err != nil {
			return err
		}
		r.look(i, fmt.Sprintf("/bucket/%04d", draw.IntN(3*clients)))
	}
	return nil
}

// look reads a key; it must be what was acknowledged before, or something newer.
func (r *run) look(i int, key string) (ok bool) {
	want, s := r.acked[key], r.now()
	status, body := r.ask(i, "GET", key, "")
	var got int
	if _, err := fmt.Sscan(body, &got); status == http.StatusOK && err != nil ||
		status != http.StatusOK && status != http.StatusNotFound {
		s.failed++
		return false
	}
	s.reads++
	if got < want {
		s.stale++
	}
	return got >= want
}

// count looks at every key when all is over.
func (r *run) count(ctx context.Context, keys int) error {
	if err := r.w.Env.Sleep(ctx, time.Minute); err != nil {
		return err
	}
	r.start = r.w.Sched.Now() - time.Hour // what is read now is not of the run
	for i := range keys {
		if !r.look(1, fmt.Sprintf("/bucket/%04d", i)) {
			r.lost++
		}
	}
	return nil
}

// now is the present second, counted from the change.
func (r *run) now() *second {
	at := int((r.w.Sched.Now() - r.start + before) / time.Second)
	if r.seconds[at] == nil {
		r.seconds[at] = &second{}
	}
	return r.seconds[at]
}

// ask makes a request of client i's gateway; status 0 is no answer.
func (r *run) ask(i int, method, path, text string) (status int, body string) {
	env, handler, ok := r.w.Serve(r.gateway(i))
	if !ok {
		return 0, ""
	}
	c := wire.Client{Sched: r.w.Sched, Env: r.w.Env, Link: wire.Link{Delay: time.Millisecond}}
	req := wire.Request{Method: method, Target: path, Host: "sim", Header: http.Header{},
		Body: strings.NewReader(text), Length: int64(len(text))}
	signer := auth.Signer{Key: auth.KeyID(r.key.ID), Secret: auth.Secret(r.key.Secret), Region: world.Region,
		Service: "s3"}
	_, err := signer.Sign(&auth.Request{Method: method, Path: path, Host: "sim", Header: req.Header,
		ContentLength: req.Length}, r.w.Env.Wall(), auth.PayloadHash(auth.Unsigned, [32]byte{}))
	if err != nil {
		return 0, err.Error()
	}
	resp, err := c.Do(env, handler, req, patience)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.Status, string(raw)
}
