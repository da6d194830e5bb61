package object

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"granary/core/block"
	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/hlc"
	"granary/core/job"
	"granary/core/kv"
	"granary/core/kv/memkv"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
	"granary/netsim"
	"granary/sim/disk"
	simnet "granary/sim/net"
	"granary/sim/sched"
)

// roundTrip is that between any two nodes of a testCluster.
const roundTrip = 100 * time.Millisecond

// testCluster has three nodes, each in a zone of its own, that all hold everything.
type testCluster struct {
	t         testing.TB
	s         *sched.Sched
	model     *netsim.Model
	net       *simnet.Net
	nodes     []*testNode
	view      cluster.View
	blockSize int64
	compress  bool
	reclaim   *Reclaim
	markers   table.Tombstones
}

// testNode is a machine and the store that runs on it.
type testNode struct {
	c     *testCluster
	name  string
	ident rpc.Identity
	id    rt.NodeID
	addr  string
	kv    *memkv.Image
	disk  *disk.Image

	env    *sched.Env
	store  *Store
	blocks *block.Store
	tables *table.Tables
	local  kv.Store
	jobs   *job.Book
}

// topologyOf is a Topology that never changes.
type topologyOf struct{ n *testNode }

func (o topologyOf) EachView(f func(first, last layout.Prefix, v cluster.View)) {
	f(0, 0xffff, o.n.c.view)
}
func (o topologyOf) View(layout.Prefix) (cluster.View, error) { return o.n.c.view, nil }
func (o topologyOf) FullView() (cluster.View, error)          { return o.n.c.view, nil }
func (o topologyOf) Patience([]rt.NodeID) time.Duration       { return 3 * roundTrip }
func (o topologyOf) Learn(context.Context, rt.NodeID) error   { return nil }
func (o topologyOf) Holders() []rt.NodeID {
	var ids []rt.NodeID
	for _, n := range o.n.c.nodes {
		ids = append(ids, n.id)
	}
	return ids
}
func (o topologyOf) SameZone(id rt.NodeID) bool { return id == o.n.id }
func (o topologyOf) Describe(id rt.NodeID) string {
	for _, n := range o.n.c.nodes {
		if n.id == id {
			return n.name
		}
	}
	return id.Short()
}
func (o topologyOf) Nearest(ids []rt.NodeID) []rt.NodeID {
	ids = slices.Clone(ids)
	slices.SortStableFunc(ids, func(a, b rt.NodeID) int {
		switch o.n.id {
		case a:
			return -1
		case b:
			return 1
		}
		return 0
	})
	return ids
}

func newTestCluster(t testing.TB, seed uint64, blockSize int64) *testCluster {
	t.Helper()
	return newClusterOf(t, seed, blockSize, flat(), nil)
}

// flat has three sites with a machine each, no jitter.
func flat() netsim.Topology {
	return netsim.Regular("flat", 3, 1, netsim.Path{Delay: roundTrip / 2}, netsim.Path{})
}

// newReclaimCluster is newTestCluster with other times of reclaim, and protocol steps to break.
func newReclaimCluster(t testing.TB, seed uint64, blockSize int64, r *Reclaim,
	mutants ...string) *testCluster {
	t.Helper()
	return newClusterOf(t, seed, blockSize, flat(), r, mutants...)
}

func newClusterOf(t testing.TB, seed uint64, blockSize int64, topo netsim.Topology, r *Reclaim,
	mutants ...string) *testCluster {
	t.Helper()
	model, err := netsim.NewModel(topo)
	if err != nil {
		t.Fatal(err)
	}
	c := &testCluster{t: t, model: model, blockSize: blockSize, reclaim: r,
		s: sched.New(sched.Options{Seed: seed, Shuffle: seed%2 == 1, YieldPerMille: int(seed%3) * 30,
			Mutants: mutants})}
	t.Cleanup(c.s.Stop)
	o := simnet.DefaultOptions()
	o.TCP.Initial, o.TCP.KeepWindow = 1<<16, true
	if c.net, err = simnet.New(c.s, model, o); err != nil {
		t.Fatal(err)
	}
	var ids []rt.NodeID
	for _, spec := range topo.Nodes {
		n := &testNode{c: c, name: spec.Name, kv: memkv.NewImage(), disk: disk.NewImage()}
		copy(n.ident.Seed[:], n.name)
		n.id = simnet.PeerOf(n.ident)
		ids = append(ids, n.id)
		c.nodes = append(c.nodes, n)
	}
	c.view = cluster.View{Layout: 1, Live: []layout.Set{layout.Majority(1, ids)}}
	for _, n := range c.nodes {
		n.boot()
	}
	c.run(time.Second)
	return c
}

// boot starts the node on what its machine holds.
func (n *testNode) boot() {
	t := n.c.t
	t.Helper()
	n.env = n.c.s.NewEnv(n.id, n.name)
	tr, err := n.c.net.NewTransport(n.env, n.name, n.ident)
	if err != nil {
		t.Fatal(err)
	}
	n.addr = tr.Addr()
	tr.Admit(func(rt.NodeID) bool { return true })
	ready := false
	n.env.Go("boot", func() { n.compose(tr); ready = true })
	if err := n.c.s.RunUntil(time.Minute, func() bool { return ready }); err != nil {
		t.Fatal(err)
	}
}

func (n *testNode) compose(tr rpc.Transport) {
	d, err := disk.Open(n.env, n.disk)
	if err != nil {
		panic(err)
	}
	n.local = memkv.Open(n.env, n.kv, memkv.Options{})
	clock := hlc.New(n.env, 0, func(context.Context, hlc.Stamp) error { return nil })
	cfg := rpc.DefaultConfig()
	cfg.Clock = clock
	ep := rpc.New(n.env, tr, cfg)
	ep.SetHooks(rpc.Hooks{Route: func(p rt.NodeID) (rpc.Route, bool) {
		for _, m := range n.c.nodes {
			if m.id == p {
				return rpc.Route{Addr: m.addr}, true
			}
		}
		return rpc.Route{}, false
	}})
	group := rt.NewGroup(n.env, n.env.Background())
	reg := &table.Registry{}
	rows, refs := RegisterTables(reg, bucket.RegisterTables(reg)), block.RegisterTables(reg)
	engine := quorum.New(n.env, group)
	n.jobs = job.NewBook(n.env)
	n.tables = table.New(table.Config{Env: n.env, Store: n.local, Clock: clock, Topology: topologyOf{n},
		Quorum: engine, Endpoint: ep, Registry: reg, Group: group, Jobs: n.jobs,
		Tombstones: n.c.markers})
	n.blocks = block.New(block.Config{Env: n.env, KV: n.local, Disk: d, Tables: n.tables, Rows: refs,
		Topology: topologyOf{n}, Quorum: engine, Endpoint: ep, Group: group, Compress: n.c.compress})
	n.store = New(Config{Env: n.env, Tables: n.tables, Rows: rows, Blocks: n.blocks, Clock: clock,
		Topology: topologyOf{n}, Endpoint: ep, Group: group, Jobs: n.jobs, Reclaim: n.c.reclaim,
		BlockSize: n.c.blockSize})
	ep.Start()
}

// crash cuts the node's power.
func (n *testNode) crash() {
	done := false
	n.c.s.After(0, func() {
		n.env.Kill()
		n.disk.PowerCut(n.c.s.Rand("power"))
		done = true
	})
	if err := n.c.s.RunUntil(time.Minute, func() bool { return done }); err != nil {
		n.c.t.Fatal(err)
	}
}

func (c *testCluster) run(d time.Duration) {
	c.t.Helper()
	if err := c.s.Run(d); err != nil {
		c.t.Fatal(err)
	}
}

// do runs f as a task of a node to its end, and returns its error.
func (n *testNode) do(f func(ctx context.Context, s *Store) error) error {
	n.c.t.Helper()
	done := false
	var result error
	n.env.Go("test", func() { result = f(n.env.Background(), n.store); done = true })
	if err := n.c.s.RunUntil(time.Hour, func() bool { return done }); err != nil {
		n.c.t.Fatal(err)
	}
	return result
}

// must is do that expects no error.
func (n *testNode) must(f func(ctx context.Context, s *Store) error) {
	n.c.t.Helper()
	if err := n.do(f); err != nil {
		n.c.t.Fatal(err)
	}
}

// quiet checks that every node has given back all memory for blocks once all is over.
func (c *testCluster) quiet() {
	c.t.Helper()
	c.run(2 * time.Minute)
	for _, n := range c.nodes {
		if used := n.blocks.BuffersUsed(); used != 0 {
			c.t.Errorf("%s: %d block buffers never came back", n.name, used)
		}
	}
}

// testBody is content whose ETag is a hash of it.
type testBody struct {
	io.Reader
	fail error // of Sums
}

func newBody(data []byte) *testBody { return &testBody{Reader: bytes.NewReader(data)} }

func (b *testBody) Sums() (Sums, error) { return Sums{ETag: "etag"}, b.fail }

// etag makes the ETag of a body tell its content.
type etagBody struct {
	io.Reader
	tag string
}

func (b etagBody) Sums() (Sums, error) { return Sums{ETag: b.tag}, nil }

func tagOf(data []byte) string {
	h := block.HashOf(data)
	return hex.EncodeToString(h[:8])
}

var testBucket = bucket.BucketID{7}

func content(seed byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = seed + byte(i*7) + byte(i>>8) + byte(i>>16)
	}
	return b
}

// put stores data and returns what Put does.
func put(ctx context.Context, s *Store, k Key, data []byte) (Info, error) {
	return s.Put(ctx, testBucket, k, nil, int64(len(data)), etagBody{bytes.NewReader(data), tagOf(data)})
}

// get reads all of an object.
func get(ctx context.Context, s *Store, k Key) ([]byte, error) {
	o, err := s.Get(ctx, testBucket, k, GetOptions{})
	if err != nil {
		return nil, err
	}
	defer o.Close()
	return readRange(ctx, o, 0, o.Info().Size)
}

func readRange(ctx context.Context, o *Object, off, n int64) ([]byte, error) {
	r, err := o.Open(ctx, off, n)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err == nil && int64(len(data)) != n {
		err = fmt.Errorf("%d bytes where %d were asked for", len(data), n)
	}
	return data, err
}

// wants reads an object at a node and compares it.
func (n *testNode) wants(k Key, data []byte) {
	n.c.t.Helper()
	n.must(func(ctx context.Context, s *Store) error {
		got, err := get(ctx, s, k)
		if err == nil && !bytes.Equal(got, data) {
			err = fmt.Errorf("object %s at %s: %d bytes that differ from the %d stored", quote(k), n.name,
				len(got),
				len(data))
		}
		return err
	})
}

// absent expects that an object is not found.
func (n *testNode) absent(k Key) {
	n.c.t.Helper()
	err := n.do(func(ctx context.Context, s *Store) error {
		_,
			err := s.Head(ctx, testBucket, k)
		return err
	})
	if !errors.Is(err, ErrNoSuchKey) {
		n.c.t.Errorf("object %s at %s: %v, want it not to exist", quote(k), n.name, err)
	}
}

// rowsAt is what one node holds of the test bucket.
type rowsAt struct {
	objects  map[string]objectRow
	payloads map[VersionID]bool
	garbage  map[string]garbageRow
	uploads  int
}

func (n *testNode) rows() rowsAt {
	n.c.t.Helper()
	all := rowsAt{map[string]objectRow{}, map[VersionID]bool{}, map[string]garbageRow{}, 0}
	n.must(func(ctx context.Context, s *Store) error {
		return n.tables.Local(testBucket[:], func(r *table.Reader) error {
			return errors.Join(
				s.rows.objects.Scan(r, nil, nil, func(k []byte, v objectRow) bool {
					all.objects[string(k)] = v
					return true
				}),
				s.rows.payloads.Scan(r, nil, nil, func(k []byte, _ payloadRow) bool {
					_, id, _ := splitGarbage(k)
					all.payloads[id] = true
					return true
				}),
				s.rows.garbage.Scan(r, nil, nil, func(k []byte, v garbageRow) bool {
					all.garbage[string(k)] = v
					return true
				}),
				s.rows.uploads.Scan(r, nil, nil, func([]byte, uploadRow) bool { all.uploads++; return true }))
		})
	})
	return all
}

// lingering checks, at every node, that each payload belongs to a winner, and that each winner's is there.
func (c *testCluster) lingering() {
	c.t.Helper()
	for _, n := range c.nodes {
		rows := n.rows()
		need := map[VersionID]bool{}
		for _, o := range rows.objects {
			if o.Winner.exists() && o.Winner.Inline {
				need[o.Winner.ID] = true
			}
		}
		for id := range rows.payloads {
			if !need[id] {
				c.t.Errorf("%s: payload %v lingers", n.name, id)
			}
		}
		for id := range need {
			if !rows.payloads[id] {
				c.t.Errorf("%s: payload %v is missing", n.name, id)
			}
		}
	}
}
