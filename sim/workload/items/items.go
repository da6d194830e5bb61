// Package items drives K2V endpoints from many concurrent clients, who read, merge and write with tokens,
// write without having read, delete, poll and follow ranges, and records what they saw for package check.
// Values are unique, so that each names its write.
package items

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"granary/core/api/k2v/client"
	"granary/core/auth"
	"granary/core/crdt"
	"granary/core/k2v"
	"granary/core/rt"
	"granary/sim/check"
	"granary/sim/sched"
	"granary/sim/workload/wire"
)

// Config says whom the clients talk to. All fields must be set.
type Config struct {
	Sched *sched.Sched
	Env   *sched.Env // that of the clients
	// Serve returns the K2V handler of a node and the Env in which it runs; ok is false while the node is
	// down.
	Serve   func(node int) (env *sched.Env, handler http.Handler, ok bool)
	Nodes   int
	Bucket  string
	Region  string
	Key     auth.KeyID
	Secret  auth.Secret
	Link    wire.Link
	Seed    uint64
	Steps   []Step
	Until   time.Duration // after this no client begins another operation
	History *check.ItemHistory
}

// requestTimeout is a client's deadline for a request that does not wait.
const requestTimeout = 30 * time.Second

// errRefused means that the node was down: nothing was sent.
var errRefused = errors.New("connection refused")

// doer is an http.Client of one node.
type doer struct {
	c    *Config
	node int
}

// Do implements client.Doer.
func (d doer) Do(req *http.Request) (*http.Response, error) {
	env, h, ok := d.c.Serve(d.node)
	if !ok {
		return nil, errRefused
	}
	w := wire.Request{Method: req.Method, Target: req.URL.RequestURI(), Host: req.Host, Header: req.Header}
	if req.ContentLength > 0 {
		w.Body, w.Length = req.Body, req.ContentLength
	}
	wc := wire.Client{Sched: d.c.Sched, Env: d.c.Env, Link: d.c.Link}
	limit := requestTimeout
	if req.URL.Query().Has("causality_token") || req.URL.Query().Has("poll_range") {
		limit += pollTime
	}
	resp, err := wc.Do(env, h, w, limit)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: resp.Status, Header: resp.Header, Body: body{resp}}, nil
}

// body closes the exchange of an answer.
type body struct{ r *wire.Response }

// Read implements io.Reader.
func (b body) Read(p []byte) (int, error) { return b.r.Body.Read(p) }

// Close implements io.Closer.
func (b body) Close() error { b.r.Close(); return nil }

var _ io.ReadCloser = body{}

// pollTime is how long clients poll.
const pollTime = 20 * time.Second

// Step is one operation of a client: its number names it, and, with the seed, says what it does. So dropping
// one changes no other.
type Step struct {
	Client int
	Number int
	Pause  time.Duration
}

// Draw draws what 2 to 6 clients do, so many operations in all, over a span.
func Draw(r *rand.Rand, ops int, span time.Duration) (steps []Step) {
	clients := 2 + r.IntN(5)
	each := ops / clients
	for n := range each * clients {
		steps = append(steps, Step{Client: n % clients, Number: n / clients,
			Pause: time.Duration(r.Int64N(int64(2*span)/int64(each) + 1))})
	}
	return steps
}

// runner is a run of the workload.
type runner struct {
	Config
	pks    int
	sks    int
	sweeps bool // clients delete what a search finds
	follow bool // the followers go on
}

func newRunner(c Config) *runner {
	draw := rand.New(rand.NewPCG(c.Seed, 0x6974656d73))
	r := &runner{Config: c, pks: 1 + draw.IntN(3), sks: 1 + draw.IntN(5), follow: true}
	r.sweeps = draw.IntN(2) == 0
	return r
}

func (r *runner) client(node int) *client.Client {
	return &client.Client{HTTP: doer{&r.Config, node % r.Nodes}, Endpoint: "http://k2v.test",
		Bucket: r.Bucket,
		Region: r.Region, Key: r.Key, Secret: r.Secret, Now: r.Env.Wall}
}

// Run is a workload under way. Do it, heal what is broken, and End it; all from tasks of Config.Env.
type Run struct {
	r         *runner
	followers *rt.Group
}

// Start draws a workload, and starts who follows its ranges.
func Start(c Config) *Run {
	r := newRunner(c)
	run := &Run{r, rt.NewGroup(c.Env, c.Env.Background())}
	c.History.Told = map[string]crdt.Context{}
	for pk := range r.pks {
		run.followers.Go("follower", func(context.Context) error { r.followRange(pk); return nil })
	}
	return run
}

// Do makes the clients' operations.
func (run *Run) Do() {
	r := run.r
	g := rt.NewGroup(r.Env, r.Env.Background())
	lines := map[int][]Step{}
	for _, s := range r.Steps {
		lines[s.Client] = append(lines[s.Client], s)
	}
	for _, client := range slices.Sorted(maps.Keys(lines)) {
		g.Go("item client", func(ctx context.Context) error {
			w := worker{runner: r, seen: map[string]check.Seen{}}
			for _, s := range lines[client] {
				if r.Env.Sleep(ctx, s.Pause); r.Sched.Now() > r.Until {
					break
				}
				w.step(s)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		rt.Break("item workload: %v", err)
	}
}

// End reads every item through every node when all is healed, ends the followers, and compares the index with
// the items.
func (run *Run) End() (found []check.Violation, err error) {
	r := run.r
	for range 2 { // the first pass repairs what it finds
		for node := range r.Nodes {
			for pk := range r.pks {
				for sk := range r.sks {
					r.read(node, pk, sk, -1)
				}
			}
		}
		r.Env.Sleep(r.Env.Background(), 10*time.Second)
	}
	for node := range r.Nodes {
		for pk := range r.pks {
			for sk := range r.sks {
				r.read(node, pk, sk, node)
			}
		}
	}
	r.Env.Sleep(r.Env.Background(), pollTime)
	r.follow = false
	if err := run.followers.Wait(); err != nil {
		return nil, err
	}
	return r.index()
}

// name names an item in histories.
func name(pk, sk int) string { return fmt.Sprintf("pk%d/sk%d", pk, sk) }

// read reads an item and records it; end is the node of a read of the end, -1 for others.
func (r *runner) read(node, pk, sk, end int) check.Seen {
	op := check.ItemOp{Key: name(pk, sk), Node: end + 1}
	i := r.History.Begin(r.Sched.Now(), op)
	item, err := r.client(node).Read(r.Env.Background(), fmt.Sprint("pk", pk), fmt.Sprint("sk", sk))
	return r.got(i, item, err)
}

// got records the answer to a read.
func (r *runner) got(i int, item client.Item, err error) (s check.Seen) {
	if err != nil && !errors.Is(err, client.ErrNoSuchItem) {
		r.History.End(r.Sched.Now(), i, check.Unknown)
		return s
	}
	s.Token = string(item.Token)
	for _, v := range item.Values {
		if v == nil {
			s.Deleted = true
		} else {
			s.Values = append(s.Values, string(v))
		}
	}
	slices.Sort(s.Values)
	r.History.End(r.Sched.Now(), i, check.OK)
	s.At = r.History.Ops[i].Return
	r.History.Ops[i].Got = s
	r.Sched.Fold("item read", uint64(i), uint64(len(s.Values)), 0)
	return s
}

// followRange polls a partition until it is told to stop.
func (r *runner) followRange(pk int) {
	told, marker := r.History.Told, ""
	for n := pk; r.follow; n++ {
		news, err := r.client(n).PollRange(r.Env.Background(), client.Search{PK: fmt.Sprint("pk", pk)},
			marker,
			pollTime/2)
		if err != nil && !errors.Is(err, client.ErrNothingNew) {
			r.Env.Sleep(r.Env.Background(), time.Second)
		}
		if err != nil {
			continue
		}
		for _, item := range news.Items {
			key := fmt.Sprintf("pk%d/%s", pk, item.SortKey)
			c, err := k2v.ParseToken(string(item.Token))
			if err != nil {
				rt.Break("token of %s: %v", key, err)
			}
			told[key] = told[key].Join(c)
		}
		marker = news.Marker
	}
}

// index compares the index with the items.
func (r *runner) index() (found []check.Violation, err error) {
	c, ctx := r.client(0), r.Env.Background()
	got, err := c.ReadIndex(ctx, client.Search{})
	if err != nil {
		return nil, fmt.Errorf("read the index: %w", err)
	}
	var want []client.Partition
	for pk := range r.pks {
		p := client.Partition{PK: fmt.Sprint("pk", pk)}
		all, err := c.ReadBatch(ctx, []client.Search{{PK: p.PK, Tombstones: true}})
		if err != nil {
			return nil, fmt.Errorf("read partition %s: %w", p.PK, err)
		}
		for _, item := range all[0].Items {
			live := slices.DeleteFunc(slices.Clone(item.Values),
				func(v client.Value) bool { return v == nil })
			for _, v := range live {
				p.Values, p.Bytes = p.Values+1, p.Bytes+int64(len(v))
			}
			p.Entries += int64(min(len(live), 1))
			p.Conflicts += int64(min(len(item.Values)-1, 1))
		}
		if p.Entries > 0 {
			want = append(want, p)
		}
	}
	if !slices.Equal(got.Partitions, want) {
		found = append(found, check.Violation{Fault: check.IndexWrong, Key: "index", Op: -1, By: -1,
			Text: strings.ReplaceAll(fmt.Sprintf("it says %+v, the items are %+v", got.Partitions, want),
				"\n", " ")})
	}
	return found, nil
}
