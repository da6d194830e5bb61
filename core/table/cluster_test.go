package table

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"granary/core/cluster"
	"granary/core/hlc"
	"granary/core/job"
	"granary/core/kv"
	"granary/core/kv/memkv"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/netsim"
	simnet "granary/sim/net"
	"granary/sim/sched"
)

// roundTrip is that between any two nodes of a testCluster.
const roundTrip = 100 * time.Millisecond

// testCluster has three nodes, each in a zone of its own, that all hold everything.
type testCluster struct {
	t     *testing.T
	s     *sched.Sched
	model *netsim.Model
	nodes []*testNode
	view  cluster.View
	// views, if not nil, has the views instead of view; learn, if not nil, is called to learn of newer ones.
	views func(layout.Prefix) (cluster.View, error)
	learn func()
}

type testNode struct {
	name   string
	env    *sched.Env
	tables *Tables
	marks  *Table[mark]
	lists  *Table[mark]
	cells  *Table[cell]
	store  *memkv.Store
	image  *memkv.Image
	full   error // why there is no room
}

// topologyOf is a Topology that never changes.
type topologyOf struct {
	c    *testCluster
	self rt.NodeID
}

func (o topologyOf) View(p layout.Prefix) (cluster.View, error) {
	if o.c.views != nil {
		return o.c.views(p)
	}
	return o.c.view, nil
}
func (o topologyOf) EachView(f func(first, last layout.Prefix, v cluster.View)) {
	f(0, 0xffff, o.c.view)
}
func (o topologyOf) FullView() (cluster.View, error)    { return o.c.view, nil }
func (o topologyOf) Patience([]rt.NodeID) time.Duration { return 3 * roundTrip }
func (o topologyOf) Describe(id rt.NodeID) string       { return id.Short() }
func (o topologyOf) Learn(context.Context, rt.NodeID) error {
	if o.c.learn != nil {
		o.c.learn()
	}
	return nil
}
func (o topologyOf) Nearest(ids []rt.NodeID) []rt.NodeID {
	ids = slices.Clone(ids)
	slices.SortStableFunc(ids, func(a, b rt.NodeID) int {
		switch o.self {
		case a:
			return -1
		case b:
			return 1
		}
		return 0
	})
	return ids
}

func newTestCluster(t *testing.T, seed uint64, full bool, mutants ...string) *testCluster {
	t.Helper()
	topo := netsim.Regular("flat", 3, 1, netsim.Path{Delay: roundTrip / 2}, netsim.Path{})
	model, err := netsim.NewModel(topo)
	if err != nil {
		t.Fatal(err)
	}
	options := sched.Options{Seed: seed, Shuffle: seed%2 == 1, YieldPerMille: int(seed%3) * 30,
		Mutants: mutants}
	c := &testCluster{t: t, model: model, s: sched.New(options)}
	t.Cleanup(c.s.Stop)
	network, err := simnet.New(c.s, model, simnet.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	var ids []rt.NodeID
	addrs := map[rt.NodeID]string{}
	for _, n := range topo.Nodes {
		id := rpc.Identity{}
		copy(id.Seed[:], n.Name)
		peer := simnet.PeerOf(id)
		ids = append(ids, peer)
		c.nodes = append(c.nodes, c.boot(network, n.Name, id, addrs, full))
	}
	c.view = cluster.View{Layout: 1, Live: []layout.Set{layout.Majority(1, ids)}}
	return c
}

func (c *testCluster) boot(network *simnet.Net, name string, id rpc.Identity,
	addrs map[rt.NodeID]string, full bool) *testNode {
	c.t.Helper()
	self := simnet.PeerOf(id)
	n := &testNode{name: name, env: c.s.NewEnv(self, name)}
	tr, err := network.NewTransport(n.env, name, id)
	if err != nil {
		c.t.Fatal(err)
	}
	addrs[self] = tr.Addr()
	tr.Admit(func(rt.NodeID) bool { return true })
	n.env.Go("boot", func() {
		n.image = memkv.NewImage()
		n.store = memkv.Open(n.env, n.image, memkv.Options{})
		clock := hlc.New(n.env, 0, func(context.Context, hlc.Stamp) error { return nil })
		cfg := rpc.DefaultConfig()
		cfg.Clock = clock
		ep := rpc.New(n.env, tr, cfg)
		ep.SetHooks(rpc.Hooks{Route: func(p rt.NodeID) (rpc.Route, bool) {
			return rpc.Route{Addr: addrs[p]}, true
		}, News: func() []byte { return n.tables.Pulse() },
			OnNews: func(from rt.NodeID, news []byte, asked time.Duration) {
				n.tables.OnPulse(from, news, asked)
			}})
		group := rt.NewGroup(n.env, n.env.Background())
		reg := &Registry{}
		def := markDef()
		def.FullCopy = full
		n.lists = Register(reg, def)
		voted := markDef()
		voted.ID, voted.Name = 202, "voted mark"
		voted.Head = func(m mark) Head { return Head{Stamp: hlc.Stamp(m.Stamp)} }
		voted.Admit = func(_ *Tx, at Address, _ *mark, in mark) error {
			if string(at.Sort) == "refused" {
				return &Refusal{Code: "no", Msg: "refused"}
			}
			return nil
		}
		n.marks = Register(reg, voted)
		n.cells = Register(reg, cellDef())
		n.tables = New(Config{Env: n.env, Store: n.store, Clock: clock, Topology: topologyOf{c, self},
			Quorum: quorum.New(n.env, group), Endpoint: ep, Registry: reg, Group: group,
			Jobs: job.NewBook(n.env), Room: func() error { return n.full }})
		n.tables.RegisterFetch("row", func(r *Reader, args []byte) ([]Row, error) {
			row, ok, err := n.marks.GetRow(r, args)
			if !ok {
				return nil, err
			}
			return []Row{row}, err
		})
		n.tables.RegisterFetch("cell", func(r *Reader, args []byte) ([]Row, error) {
			row, ok, err := n.cells.GetRow(r, args)
			if !ok {
				return nil, err
			}
			return []Row{row}, err
		})
		if full {
			n.tables.Start()
		}
		ep.Start()
	})
	if err := c.s.Run(time.Microsecond); err != nil {
		c.t.Fatal(err)
	}
	return n
}

// do runs f as a task of a node, and returns how many round trips it took.
func (c *testCluster) do(n *testNode, f func(ctx context.Context)) int {
	c.t.Helper()
	done, start := false, c.s.Now()
	n.env.Go("test", func() { f(n.env.Background()); done = true })
	if err := c.s.RunUntil(time.Hour, func() bool { return done }); err != nil {
		c.t.Fatal(err)
	}
	return int((c.s.Now() - start + roundTrip/2) / roundTrip)
}

// have merges rows into one node's store alone.
func (c *testCluster) have(n *testNode, tab *Table[mark], pk []byte, rows marks) {
	c.t.Helper()
	c.do(n, func(ctx context.Context) {
		err := n.store.Update(ctx, func(w kv.Writer) error {
			tx := &Tx{Reader: *newReader(w, pk), w: w}
			for _, k := range rows.keys() {
				if err := tab.Merge(tx, []byte(k), rows[k]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			c.t.Error(err)
		}
	})
}

// local is what one node has.
func (c *testCluster) local(n *testNode, tab *Table[mark], pk []byte) marks {
	c.t.Helper()
	all := marks{}
	c.do(n, func(context.Context) {
		err := n.tables.Local(pk, func(r *Reader) error {
			return tab.Scan(r, nil, nil, func(sort []byte, v mark) bool {
				all[string(sort)] = v
				return true
			})
		})
		if err != nil {
			c.t.Error(err)
		}
	})
	return all
}

// warm opens every connection.
func (c *testCluster) warm() {
	c.t.Helper()
	for _, n := range c.nodes {
		c.do(n, func(ctx context.Context) {
			for range 2 {
				if _, err := ListRows(ctx, n.tables, n.lists, ListRequest{PK: markPK}); err != nil {
					c.t.Error(err)
				}
				if err := n.env.Sleep(ctx, time.Second); err != nil {
					c.t.Error(err)
				}
			}
		})
	}
}

func TestListRowsOverANetwork(t *testing.T) {
	for seed := range uint64(3) {
		c := newTestCluster(t, seed, false)
		c.warm()
		rows := marks{}
		for i := range 2_500 {
			rows[fmt.Sprintf("%02d/%04d", i/50, i)] = mark{Stamp: 1, Dead: i%7 == 0}
		}
		for _, n := range c.nodes {
			c.have(n, n.lists, markPK, rows)
		}
		n := c.nodes[seed]
		list := func(q ListRequest) (page ListResult[mark]) {
			q.PK = markPK
			trips := c.do(n, func(ctx context.Context) {
				var err error
				if page, err = ListRows(ctx, n.tables, n.lists, q); err != nil {
					t.Error(err)
				}
			})
			if trips != page.Rounds {
				t.Errorf("%d round trips, %d rounds", trips, page.Rounds)
			}
			return page
		}
		folded := list(ListRequest{Delimiter: []byte("/")})
		if len(folded.Items) != 50 || folded.More || folded.Rounds != 1 {
			t.Errorf("folded: %d items, more %v, %d rounds", len(folded.Items), folded.More, folded.Rounds)
		}
		var got []string
		for q := (ListRequest{Max: 400}); ; {
			page := list(q)
			if got = append(got, show(page)...); page.Rounds != 1 {
				t.Errorf("%d rounds", page.Rounds)
			}
			if q.From = page.Next; !page.More {
				break
			}
		}
		if !slices.Equal(got, twin(rows, ListRequest{}, markDef())) {
			t.Errorf("%d rows", len(got))
		}
		c.have(c.nodes[(seed+1)%3], n.lists, markPK, marks{"00/0001": {Stamp: 2, Dead: true}})
		c.have(c.nodes[(seed+2)%3], n.lists, markPK, marks{"00/0001": {Stamp: 2, Dead: true}})
		page := list(ListRequest{Delimiter: []byte("/"), Max: 3})
		if len(page.Items) != 3 || page.Rounds != 2 {
			t.Errorf("after a missed deletion: %d items in %d rounds", len(page.Items), page.Rounds)
		}
		if err := c.model.Isolate("b"); err != nil {
			t.Fatal(err)
		}
		if seed != 1 {
			if page := list(ListRequest{Max: 5}); page.Rounds != 1 || len(page.Items) != 5 {
				t.Errorf("without a zone: %d items in %d rounds", len(page.Items), page.Rounds)
			}
		}
	}
}
