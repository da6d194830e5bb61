package block_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"granary/core/block"
	"granary/core/block/array"
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

// roundTrip is that between any two nodes of a town.
const roundTrip = 20 * time.Millisecond

// town has nodes that are all replicas of every block.
type town struct {
	t     testing.TB
	s     *sched.Sched
	model *netsim.Model
	net   *simnet.Net
	nodes []*house
	view  cluster.View
	// commit is how long commits take, of nodes that boot from now on.
	commit time.Duration
}

// house is a machine of a town and the block store that runs on it.
type house struct {
	c     *town
	name  string
	ident rpc.Identity
	id    rt.NodeID
	addr  string
	kv    *memkv.Image
	disk  *disk.Image
	more  []*disk.Image // further disks, of nodes that boot from now on
	drain bool          // the first disk, if there are more

	// stale is what the node knows of the layout until it learns better; nil: the town's.
	stale *cluster.View

	env   *sched.Env
	local *memkv.Store
	store *block.Store
	rows  *table.Tables
	jobs  *job.Book
}

// topologyOf is a node's Topology.
type topologyOf struct{ n *house }

func (o topologyOf) EachView(f func(first, last layout.Prefix, v cluster.View)) {
	f(0, 0xffff, o.n.c.view)
}
func (o topologyOf) View(layout.Prefix) (cluster.View, error) {
	if o.n.stale != nil {
		return *o.n.stale, nil
	}
	return o.n.c.view, nil
}
func (o topologyOf) FullView() (cluster.View, error)        { return o.n.c.view, nil }
func (o topologyOf) Patience([]rt.NodeID) time.Duration     { return 3 * roundTrip }
func (o topologyOf) Learn(context.Context, rt.NodeID) error { o.n.stale = nil; return nil }
func (o topologyOf) Holders() []rt.NodeID {
	var ids []rt.NodeID
	for _, n := range o.n.c.nodes {
		ids = append(ids, n.id)
	}
	return ids
}
func (o topologyOf) SameZone(id rt.NodeID) bool   { return id == o.n.id }
func (o topologyOf) Describe(id rt.NodeID) string { return id.Short() }
func (o topologyOf) Nearest(ids []rt.NodeID) []rt.NodeID {
	ids = slices.Clone(ids)
	if i := slices.Index(ids, o.n.id); i > 0 {
		ids[0], ids[i] = ids[i], ids[0]
	}
	return ids
}

// newTown starts n nodes; the mutants are on in all of them.
func newTown(t testing.TB, n int, o sched.Options) *town {
	t.Helper()
	topo := netsim.Regular("town", n, 1, netsim.Path{Delay: roundTrip / 2}, netsim.Path{})
	model, err := netsim.NewModel(topo)
	if err != nil {
		t.Fatal(err)
	}
	c := &town{t: t, model: model, s: sched.New(o)}
	t.Cleanup(c.s.Stop)
	if c.net, err = simnet.New(c.s, model, simnet.DefaultOptions()); err != nil {
		t.Fatal(err)
	}
	var ids []rt.NodeID
	for _, spec := range topo.Nodes {
		h := &house{c: c, name: spec.Name, kv: memkv.NewImage(), disk: disk.NewImage()}
		copy(h.ident.Seed[:], h.name)
		h.id = simnet.PeerOf(h.ident)
		ids = append(ids, h.id)
		c.nodes = append(c.nodes, h)
	}
	c.view = cluster.View{Layout: 1, Live: []layout.Set{layout.Majority(1, ids)}}
	for _, h := range c.nodes {
		h.boot()
	}
	c.run(time.Second)
	return c
}

// boot starts the node on what its machine holds.
func (h *house) boot() {
	t := h.c.t
	t.Helper()
	h.env = h.c.s.NewEnv(h.id, h.name)
	tr, err := h.c.net.NewTransport(h.env, h.name, h.ident)
	if err != nil {
		t.Fatal(err)
	}
	h.addr = tr.Addr()
	tr.Admit(func(rt.NodeID) bool { return true })
	ready := false
	h.env.Go("boot", func() { h.compose(tr); ready = true })
	if err := h.c.s.RunUntil(time.Minute, func() bool { return ready }); err != nil {
		t.Fatal(err)
	}
}

func (h *house) compose(tr rpc.Transport) {
	d, err := h.openDisks()
	if err != nil {
		panic(err)
	}
	h.local = memkv.Open(h.env, h.kv, memkv.Options{
		Latency: func(int, int64) time.Duration { return h.c.commit }})
	clock := hlc.New(h.env, 0, func(context.Context, hlc.Stamp) error { return nil })
	cfg := rpc.DefaultConfig()
	cfg.Clock = clock
	ep := rpc.New(h.env, tr, cfg)
	ep.SetHooks(rpc.Hooks{Route: func(p rt.NodeID) (rpc.Route, bool) {
		for _, m := range h.c.nodes {
			if m.id == p {
				return rpc.Route{Addr: m.addr}, true
			}
		}
		return rpc.Route{}, false
	}})
	group := rt.NewGroup(h.env, h.env.Background())
	reg := &table.Registry{}
	rows := block.RegisterTables(reg)
	engine := quorum.New(h.env, group)
	h.jobs = job.NewBook(h.env)
	tables := table.New(table.Config{Env: h.env, Store: h.local, Clock: clock, Topology: topologyOf{h},
		Quorum: engine, Endpoint: ep, Registry: reg, Group: group, Jobs: h.jobs})
	h.rows = tables
	h.store = block.New(block.Config{Env: h.env, KV: h.local, Disk: d, Tables: tables, Rows: rows,
		Topology: topologyOf{h}, Quorum: engine, Endpoint: ep, Group: group, Jobs: h.jobs})
	if err := h.store.Prepare(); err != nil {
		panic(err)
	}
	ep.Start()
	tables.Start()
	h.store.Start()
}

// openDisks opens the disk of the machine, or all of them as one.
func (h *house) openDisks() (block.Disk, error) {
	if len(h.more) == 0 {
		return disk.Open(h.env, h.disk)
	}
	var parts []block.Part
	for i, image := range append([]*disk.Image{h.disk}, h.more...) {
		p := block.Part{ID: fmt.Sprint("disk ", i), Name: fmt.Sprint("/mnt/", i), Weight: 1 << 40}
		if d, err := disk.Open(h.env, image); err != nil {
			p.Failed = err
		} else {
			p.Disk = d
		}
		if i == 0 && h.drain {
			p.Weight = 0
		}
		parts = append(parts, p)
	}
	return array.New(h.env, parts)
}

// crash cuts the node's power.
func (h *house) crash() {
	h.c.t.Helper()
	done := false
	h.c.s.After(0, func() {
		h.env.Kill()
		for _, image := range append([]*disk.Image{h.disk}, h.more...) {
			image.PowerCut(h.c.s.Rand("power"))
		}
		done = true
	})
	if err := h.c.s.RunUntil(time.Minute, func() bool { return done }); err != nil {
		h.c.t.Fatal(err)
	}
}

func (c *town) run(d time.Duration) {
	c.t.Helper()
	if err := c.s.Run(d); err != nil {
		c.t.Fatal(err)
	}
}

// do runs f as a task of a node to its end, and returns its error.
func (h *house) do(f func(ctx context.Context, s *block.Store) error) error {
	h.c.t.Helper()
	done := false
	var result error
	h.env.Go("test", func() { result = f(h.env.Background(), h.store); done = true })
	if err := h.c.s.RunUntil(time.Hour, func() bool { return done }); err != nil {
		h.c.t.Fatal(err)
	}
	return result
}

// must is do that expects no error.
func (h *house) must(f func(ctx context.Context, s *block.Store) error) {
	h.c.t.Helper()
	if err := h.do(f); err != nil {
		h.c.t.Fatal(err)
	}
}

// put stores a block through the node.
func (h *house) put(data []byte, owner byte) error {
	return h.do(func(ctx context.Context, s *block.Store) error { return put(ctx, s, data, owner) })
}

func put(ctx context.Context, s *block.Store, data []byte, owner byte) error {
	buf, err := s.Buffer(ctx)
	if err != nil {
		return err
	}
	defer buf.Release()
	buf.Data = append(buf.Data, data...)
	return s.Put(ctx, block.HashOf(data), buf, refOf(owner), nil)
}

func refOf(owner byte) block.Ref {
	return block.Ref{Owner: block.Owner{owner}, Bucket: [16]byte{7}, Key: "key"}
}

// release marks the owner's reference to a block deleted.
func (h *house) release(owner byte, hashes ...block.Hash) error {
	return h.do(func(ctx context.Context, s *block.Store) error {
		return s.Release(ctx, block.Owner{owner}, hashes)
	})
}

// fence makes g the guard of the node's store.
func (h *house) fence(g cluster.Guard) {
	h.c.t.Helper()
	h.must(func(ctx context.Context, _ *block.Store) error {
		return h.local.Update(ctx, func(w kv.Writer) error { g.Put(w); return nil })
	})
}

// refers counts the live references to a block that the node holds.
func (h *house) refers(hash block.Hash) (n int) {
	h.c.t.Helper()
	h.must(func(_ context.Context, s *block.Store) error {
		refs, _, err := s.References(nil, 1000)
		for _, r := range refs {
			if r.Hash == hash {
				n++
			}
		}
		return err
	})
	return n
}

// known reports presence, whole that the file is there and verifies.
func (h *house) known(hash block.Hash) (known bool) {
	h.c.t.Helper()
	h.must(func(_ context.Context, s *block.Store) (err error) {
		known, err = s.Known(hash)
		return err
	})
	return known
}

func (h *house) whole(hash block.Hash) bool {
	var file []byte
	for _, image := range append([]*disk.Image{h.disk}, h.more...) {
		if !image.Dead && file == nil {
			file = image.Peek(hash)
		}
	}
	return len(file) > 0 && file[len(file)-1] == 0 && block.HashOf(file[:len(file)-1]) == hash
}

// holds reports whether the node has a block: its presence and its file. One without the other is an error.
func (h *house) holds(hash block.Hash) bool {
	h.c.t.Helper()
	known, whole := h.known(hash), h.whole(hash)
	if known != whole {
		h.c.t.Errorf("%s: block %v known: %v, whole on disk: %v", h.name, hash, known, whole)
	}
	return known
}

// wantAll expects every node to hold the blocks and to miss none, with nothing left in any queue.
func (c *town) wantAll(blocks ...[]byte) {
	c.t.Helper()
	for _, h := range c.nodes {
		for _, b := range blocks {
			if !h.holds(block.HashOf(b)) {
				c.t.Errorf("%s lacks block %v", h.name, block.HashOf(b))
			}
		}
		h.wantMissing(0)
	}
}

func (h *house) wantMissing(want int64) {
	h.c.t.Helper()
	h.must(func(_ context.Context, s *block.Store) error {
		n, err := s.Missing(0, 0xffff)
		if err == nil && (n != want || s.Backlog() != want) {
			h.c.t.Errorf("%s misses %d blocks, by its own count %d, want %d", h.name, n, s.Backlog(), want)
		}
		return err
	})
}

// some makes n blocks of some size that differ.
func some(n, size int) (blocks [][]byte) {
	for i := range n {
		b := bytes.Repeat([]byte{byte(i), byte(i >> 8), 77}, size/3+1)
		blocks = append(blocks, b[:size])
	}
	return blocks
}

// A node that was down while blocks were written gets them by itself, and those that lost their last
// reference meanwhile are not fetched.
func TestResyncAfterAbsence(t *testing.T) {
	for _, mutant := range []string{"", "block: reference does not fetch its block"} {
		c := newTown(t, 3, sched.Options{Seed: 1, Shuffle: true, YieldPerMille: 30,
			Mutants: []string{mutant}})
		a, late := c.nodes[0], c.nodes[2]
		blocks, gone := some(20, 5000), some(3, 777)
		late.crash()
		for _, b := range append(slices.Clone(blocks), gone...) {
			if err := a.put(b, 1); err != nil {
				t.Fatal(err)
			}
		}
		for _, b := range gone {
			if err := a.release(1, block.HashOf(b)); err != nil {
				t.Fatal(err)
			}
		}
		c.run(2 * block.RemoveDelay)
		late.boot()
		c.run(2 * time.Minute)
		if mutant != "" {
			if late.holds(block.HashOf(blocks[0])) {
				t.Errorf("%s: the block came all the same", mutant)
			}
			continue
		}
		c.wantAll(blocks...)
		for _, h := range c.nodes {
			for _, b := range gone {
				if h.holds(block.HashOf(b)) {
					t.Errorf("%s holds a block that nobody refers to", h.name)
				}
			}
		}
		if s := late.jobs.Find(block.ResyncJob).State(); s.Done != s.Total || s.Done != 20 ||
			s.Bytes < 100_000 || s.Cause != "" {
			t.Errorf("job %+v", s)
		}
	}
}

// What no replica holds is asked for again until one does, and the job says what it waits for.
func TestResyncWaitsForACopy(t *testing.T) {
	c := newTown(t, 3, sched.Options{Seed: 2})
	a, b, late := c.nodes[0], c.nodes[1], c.nodes[2]
	data := some(1, 3000)[0]
	late.crash()
	if err := a.put(data, 1); err != nil {
		t.Fatal(err)
	}
	c.run(2 * time.Minute) // until nobody tries to send it any more
	late.boot()
	// The reference comes, the block cannot: its holders lose the file before they are asked.
	for _, h := range []*house{a, b} {
		h.must(func(ctx context.Context, s *block.Store) error {
			return s.DiskOf().Remove(ctx, block.HashOf(data))
		})
	}
	c.run(time.Minute)
	late.wantMissing(1)
	if s := late.jobs.Find(block.ResyncJob).State(); s.Cause == "" || s.Done != 0 || s.Total != 1 {
		t.Errorf("job %+v", s)
	}
	if err := b.put(data, 2); err != nil { // finds its copy damaged, and writes it anew
		t.Fatal(err)
	}
	c.run(2 * block.ResyncMax)
	c.wantAll(data)
}

// Blocks with fewer copies come first, whatever their hashes.
func TestResyncOrder(t *testing.T) {
	for _, mutant := range []string{"", "block: resync in the order of hashes"} {
		first := rareFirst(t, mutant)
		if caught := first < 40; caught != (mutant != "") {
			t.Errorf("mutant %q: of the rare blocks %d of 40 came first", mutant, first)
		}
	}
}

// rareFirst tells how many of 40 rare blocks among 300 are among the first 48 to come.
func rareFirst(t *testing.T, mutant string) (first int) {
	c := newTown(t, 4, sched.Options{Seed: 3, Mutants: []string{mutant}})
	late := c.nodes[3]
	blocks := some(300, 1000)
	late.crash()
	for _, b := range blocks {
		if err := c.nodes[0].put(b, 1); err != nil {
			t.Fatal(err)
		}
	}
	c.run(time.Minute)
	rare := map[block.Hash]bool{}
	for _, b := range blocks[:40] { // two replicas forget them
		h := block.HashOf(b)
		rare[h] = true
		for _, n := range c.nodes[1:3] {
			n.must(func(ctx context.Context, s *block.Store) error {
				return s.Forget(ctx, h)
			})
		}
	}
	late.boot()
	late.jobs.Find(block.ResyncJob).SetSpeed(10_000)
	if err := c.s.RunUntil(time.Minute, func() bool { return len(late.disk.Files()) == 48 }); err != nil {
		t.Fatal(err)
	}
	for _, h := range late.disk.Files() {
		if rare[h] {
			first++
		}
	}
	late.jobs.Find(block.ResyncJob).SetSpeed(0)
	c.run(time.Minute)
	late.wantMissing(0)
	return first
}

// Release is idempotent, needs a write quorum, and a late copy of the block is refused and leaves no file.
func TestRelease(t *testing.T) {
	c := newTown(t, 3, sched.Options{Seed: 4})
	a := c.nodes[0]
	blocks := some(600, 64)
	var hashes []block.Hash
	for _, b := range blocks {
		hashes = append(hashes, block.HashOf(b))
	}
	for _, b := range blocks[:5] {
		if err := a.put(b, 1); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := a.release(1, hashes...); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.put(blocks[9], 1); !errors.Is(err, block.ErrGivenUp) {
		t.Errorf("a block that comes after its reference was marked deleted: %v", err)
	}
	if err := a.put(blocks[0], 2); err != nil {
		t.Fatal(err)
	}
	c.run(2 * block.RemoveDelay)
	for _, h := range c.nodes {
		if files := h.disk.Files(); len(files) != 1 || files[0] != hashes[0] {
			t.Errorf("%s: %d files", h.name, len(files))
		}
		if s := h.jobs.Find(block.RemovalJob).State(); s.Done != 5 || s.Total != 5 {
			t.Errorf("%s: job %+v", h.name, s)
		}
	}
	c.wantAll(blocks[0])
	c.nodes[1].crash()
	c.nodes[2].crash()
	if err := a.release(2, hashes[0]); !errors.Is(err, quorum.ErrUnavailable) {
		t.Errorf("released at one of three: %v", err)
	}
}
