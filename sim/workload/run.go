package workload

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"granary/core/auth"
	"granary/core/rt"
	"granary/sim/check"
	"granary/sim/sched"
	"granary/sim/workload/wire"
)

// Config says whom the clients talk to, and how. Sched, Env, Serve, Bucket, Region, Key, Secret and History
// must be set.
type Config struct {
	Sched *sched.Sched
	// Env is that of the clients; no node shares it.
	Env *sched.Env
	// Serve returns the handler of a node and the Env in which it runs; ok is false while the node is down,
	// which clients see as a refused connection.
	Serve func(node int) (env *sched.Env, handler http.Handler, ok bool)
	// Nodes is how many there are; 0 means 1.
	Nodes int
	// At, if not nil, are those that clients ask; the node of an operation is then its index, modulo.
	At     []int
	Bucket string
	Level  check.Level // of the bucket
	Region string
	Key    auth.KeyID
	Secret auth.Secret
	Link   wire.Link
	// Silent is how many in a thousand requests to a node that is killed get no reset.
	Silent int
	// Timeout is a client's deadline for one request; 0 means 30 s.
	Timeout time.Duration
	// Until is the time after which no client begins another operation; 0: never.
	Until   time.Duration
	History *check.History
}

// Stats counts answers by the kind of the request and what came back, as "put 200" or "get refused".
type Stats map[string]int

// String lists the counts, sorted by name.
func (s Stats) String() string {
	text := ""
	for _, name := range slices.Sorted(maps.Keys(s)) {
		text += fmt.Sprintf("%s: %d\n", name, s[name])
	}
	return text
}

// Run carries a plan out and returns when every client is done. It must be called from a task of c.Env, after
// the bucket was created.
func Run(c Config, p Plan) Stats {
	r := newRunner(c)
	lines := make([][]Op, p.Clients)
	for _, op := range p.Ops {
		lines[op.Client] = append(lines[op.Client], op)
	}
	r.parallel("client", p.Clients, func(client int) {
		for i := range lines[client] {
			op := &lines[client][i]
			c.Env.Sleep(c.Env.Background(), op.Pause)
			if c.Until > 0 && c.Sched.Now() > c.Until {
				return
			}
			r.do(op)
		}
	})
	return r.stats
}

// Verify reads every key of the history whole, with each key through another node, and lists the bucket
// through every node, at read-after-write at least. The reads are recorded; it returns the event number from
// which on, for [check.Durable]. It must be called from a task of c.Env, when faults are over.
func Verify(c Config) (since int64, s Stats) {
	r := newRunner(c)
	since = c.History.Tick()
	level := check.Level("")
	if c.Level == check.Eventual {
		level = check.ReadAfterWrite
	}
	var keys []string
	for i := range c.History.Ops {
		if op := &c.History.Ops[i]; op.Key != "" {
			keys = append(keys, op.Key)
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	const readers = 4
	r.parallel("verify", readers, func(reader int) {
		for i := reader; i < len(keys); i += readers {
			r.get(&Op{Client: reader, Node: i % len(r.c.At), Kind: Get, Key: keys[i],
				Level: level})
		}
	})
	for node := range r.c.At {
		r.list(&Op{Node: node, Kind: List, Max: 1000, Level: level})
	}
	return since, r.stats
}

// runner carries operations out.
type runner struct {
	c      Config
	h      *check.History
	signer auth.Signer
	stats  Stats
}

func newRunner(c Config) *runner {
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	c.Nodes = max(c.Nodes, 1)
	if c.At == nil {
		for i := range c.Nodes {
			c.At = append(c.At, i)
		}
	}
	return &runner{
		c: c, h: c.History, stats: Stats{},
		signer: auth.Signer{Key: c.Key, Secret: c.Secret, Region: c.Region, Service: "s3"},
	}
}

// parallel calls f in n tasks and waits for them. A panic in one ends the run.
func (r *runner) parallel(name string, n int, f func(i int)) {
	g := rt.NewGroup(r.c.Env, r.c.Env.Background())
	for i := range n {
		g.Go(fmt.Sprintf("%s-%d", name, i), func(context.Context) error { f(i); return nil })
	}
	var p *rt.PanicError
	if err := g.Wait(); errors.As(err, &p) {
		rt.Break("workload: %v\n%s", p, p.Stack)
	}
}

func (r *runner) do(op *Op) {
	switch op.Kind {
	case Put, Abandon:
		r.put(op)
	case Get, Range:
		r.get(op)
	case Head:
		r.head(op)
	case Delete:
		r.delete(op)
	case DeleteMany:
		r.deleteMany(op)
	case List:
		r.list(op)
	case Copy:
		r.copy(op)
	case Multipart, Abort:
		r.multipart(op)
	default:
		rt.Break("workload: kind %q", op.Kind)
	}
}

// begin records a call of the operation's client.
func (r *runner) begin(op *Op, rec check.Op) int {
	rec.Client, rec.Level = op.Client, op.Level
	if op.Level == "" {
		rec.Level = r.c.Level
	}
	if rec.Level == check.Eventual && !op.Kind.reads() { // what writes depends on no eventual read
		rec.Level = check.ReadAfterWrite
	}
	return r.h.Begin(r.c.Sched.Now(), rec)
}

func (r *runner) end(i int, o check.Outcome) { r.h.End(r.c.Sched.Now(), i, o) }
