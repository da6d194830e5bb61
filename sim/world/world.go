// Package world builds simulated clusters: real nodes of core over the simulated network, stores and disks,
// which can be crashed, restarted and cut off, all from one seed.
package world

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/kv/memkv"
	"granary/core/layout"
	"granary/core/node"
	"granary/core/object"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
	"granary/netsim"
	"granary/sim/disk"
	"granary/sim/net"
	"granary/sim/sched"
)

// Options shape a world. Start from Default.
type Options struct {
	Sched    sched.Options
	Net      net.Options
	Topology netsim.Topology // a machine for every node
	Replicas int
	Capacity uint64        // of every node that is no gateway, in bytes
	Gateways []string      // nodes of the topology that store nothing
	Commit   time.Duration // how long a commit of a node's store takes
	Disk     disk.Timing
	NoSync   bool // disks sync nothing
	Compress bool
	// Resting: anti-entropy of every node that starts rests, until Wake.
	Resting bool
	// EncodeSelf makes nodes encode and decode even the messages to themselves.
	EncodeSelf bool
	// Reclaim says when nodes free space; nil: object.DefaultReclaim.
	Reclaim *object.Reclaim
	// Tombstones says when deletion markers go; zero: never.
	Tombstones table.Tombstones
}

// Default returns a world of the topology's nodes with three replicas and quick disks.
func Default(seed uint64, t netsim.Topology) Options {
	return Options{Sched: sched.Options{Seed: seed}, Net: net.DefaultOptions(), Topology: t, Replicas: 3,
		Capacity: 1 << 40,
		Disk:     disk.Timing{}}
}

// Machine is where a node runs: what survives its crash.
type Machine struct {
	Name  string
	Zone  string
	ID    rt.NodeID
	seed  rpc.Identity
	kv    *memkv.Image
	Disk  *disk.Image
	Env   *sched.Env // of the present or last incarnation
	Node  *node.Node // nil while the machine is down
	boots int
	wall  time.Duration
	sync  error  // not nil: what the next sync of the store fails with
	dark  bool   // the power is cut
	anew  bool   // the node has ended by itself, and its supervisor is about to start it again
	halt  func() // what is about to end the node
}

// Region is that of the S3 endpoints of every world.
const Region = "sim"

// World is a simulated cluster.
type World struct {
	Sched    *sched.Sched
	Net      *net.Net
	Machines []*Machine
	// Env is for what lives outside the cluster: clients, operators, faults.
	Env  *sched.Env
	opts Options
}

// New builds the machines and starts their nodes, which belong to no cluster yet. Close the world.
func New(o Options) (*World, error) {
	s := sched.New(o.Sched)
	model, err := netsim.NewModel(o.Topology)
	if err != nil {
		return nil, err
	}
	network, err := net.New(s, model, o.Net)
	if err != nil {
		return nil, err
	}
	w := &World{Sched: s, Net: network, Env: s.NewEnv(rt.NodeID{}, "world"), opts: o}
	for i, n := range o.Topology.Nodes {
		m := &Machine{Name: n.Name, Zone: n.Zone, kv: memkv.NewImage(), Disk: disk.NewImage()}
		binary.BigEndian.PutUint64(m.seed.Seed[:], o.Sched.Seed)
		m.seed.Seed[31] = byte(i + 1)
		m.ID = net.PeerOf(m.seed)
		m.Disk.Timing, m.Disk.NoSync = o.Disk, o.NoSync
		w.Machines = append(w.Machines, m)
	}
	for _, m := range w.Machines {
		w.Boot(m)
	}
	return w, nil
}

// Close ends the run and frees what it holds.
func (w *World) Close() { w.Sched.Stop() }

// Boot starts a machine's node, as a task of the new incarnation.
func (w *World) Boot(m *Machine) {
	m.boots++
	m.dark, m.anew, m.Disk.Interrupt = false, false, nil
	m.Env = w.Sched.NewEnv(m.ID, m.Name)
	m.Env.SetWallOffset(m.wall)
	env := m.Env
	env.Go("boot", func() {
		n, err := w.open(m, env)
		switch {
		case err != nil && (m.Disk.Dead || m.sync != nil):
			env.Warn("the node does not start", "error", err)
			w.Kill(m)
			return
		case err != nil:
			w.Sched.Fail(fmt.Errorf("start of %s: %w", m.Name, err))
			return
		}
		if w.opts.Resting {
			n.Jobs().Find(table.JobName).Pause()
		}
		n.Start()
		m.Node = n
	})
}

func (w *World) open(m *Machine, env *sched.Env) (*node.Node, error) {
	transport, err := w.Net.NewTransport(env, m.Name, m.seed)
	if err != nil {
		return nil, err
	}
	d, err := disk.Open(env, m.Disk)
	if err != nil {
		return nil, err
	}
	store := memkv.Open(env, m.kv, memkv.Options{
		Latency: func(int, int64) time.Duration { return w.opts.Commit },
		Sync:    func() error { return m.sync },
		Failed:  func(error) { w.Kill(m) },
	})
	cfg := rpc.DefaultConfig()
	cfg.EncodeSelf = w.opts.EncodeSelf
	var removeDelay time.Duration // in proportion to the times of reclaim
	if w.opts.Reclaim != nil {
		removeDelay = w.opts.Reclaim.Every
	}
	return node.Open(env.Background(), node.Config{Env: env, Transport: transport, KV: store, Disk: d,
		Identity: m.seed,
		Name:     m.Name, Region: Region, Compress: w.opts.Compress, RPC: &cfg,
		Reclaim: w.opts.Reclaim, RemoveDelay: removeDelay, Tombstones: w.opts.Tombstones,
		RolledBack: func(error) { w.anew(m, env) }})
}

// join makes a machine a member with a token of another one.
func (w *World) join(ctx context.Context, m, via *Machine, role layout.Role) error {
	var token cluster.Token
	err := w.On(ctx, via, func(ctx context.Context, n *node.Node) (err error) {
		token, err = n.Cluster().NewToken(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return w.On(ctx, m, func(ctx context.Context, n *node.Node) error {
		return n.Cluster().JoinWith(ctx, token, role)
	})
}

// Wake lets the anti-entropy of all nodes go on.
func (w *World) Wake() {
	w.opts.Resting = false
	for _, m := range w.Machines {
		if !m.Down() {
			m.Node.Jobs().Find(table.JobName).Resume()
		}
	}
}

// Serve returns what a client reaches at machine i: the environment that requests run in, and the S3
// endpoint.
func (w *World) Serve(i int) (*sched.Env, http.Handler, bool) {
	m := w.Machines[i]
	if m.Down() {
		return nil, nil, false
	}
	return m.Env, m.Node.S3(), true
}

// Do runs f as a task outside the cluster, and the world until it has ended, for at most limit of virtual
// time.
func (w *World) Do(limit time.Duration, f func(ctx context.Context) error) error {
	done := false
	var result error
	w.Env.Go("do", func() {
		result = f(w.Env.Background())
		done = true
	})
	return errors.Join(w.Sched.RunUntil(limit, func() bool { return done }), result)
}

// onMax bounds how long On waits: a node that crashes meanwhile never answers.
const onMax = time.Minute

// On runs f as a task of machine m's node and waits for its result, from a task outside the cluster, for at
// most a minute.
func (w *World) On(ctx context.Context, m *Machine, f func(ctx context.Context, n *node.Node) error) error {
	if m.Down() {
		return fmt.Errorf("machine %s is down", m.Name)
	}
	ctx, cancel := w.Env.WithTimeout(ctx, onMax)
	defer cancel()
	result := rt.NewFuture[struct{}](w.Env)
	n, env := m.Node, m.Env
	env.Go("on", func() { result.Set(struct{}{}, f(env.Background(), n)) })
	_, err := result.Get(ctx)
	return err
}

// Operate runs f with the cluster as machine m's node knows it, as an operator there would.
func (w *World) Operate(ctx context.Context, m *Machine,
	f func(context.Context, *cluster.Cluster) error) error {
	return w.On(ctx, m, func(ctx context.Context, n *node.Node) error { return f(ctx, n.Cluster()) })
}

// MakeBucket makes an access key and a bucket that belongs to it, through the first machine. It runs the
// world meanwhile.
func (w *World) MakeBucket(name string) (key bucket.Key, err error) {
	err = w.Do(time.Minute, func(ctx context.Context) error {
		return w.On(ctx, w.Machines[0], func(ctx context.Context, n *node.Node) (err error) {
			if key, err = n.Buckets().CreateKey(ctx, "of the world", true); err != nil {
				return err
			}
			_, err = n.Buckets().Create(ctx, name, key.ID)
			return err
		})
	})
	return key, err
}

// SetConsistency sets the level of a bucket, through the first machine; other nodes hear of it soon. It runs
// the world meanwhile.
func (w *World) SetConsistency(name string, level table.Consistency) error {
	return w.Do(time.Minute, func(ctx context.Context) error {
		return w.On(ctx, w.Machines[0], func(ctx context.Context, n *node.Node) error {
			b, err := n.Buckets().ByName(ctx, name)
			if err != nil {
				return err
			}
			return n.Buckets().SetConsistency(ctx, b, level)
		})
	})
}

// Form makes one cluster of all machines: the first founds it, the others join with its tokens, and the first
// layout is applied. It runs the world meanwhile.
func (w *World) Form() error {
	if err := w.Sched.RunUntil(time.Minute, func() bool { return w.allUp() }); err != nil {
		return err
	}
	err := w.Do(10*time.Minute, func(ctx context.Context) error {
		params := layout.DefaultParams()
		params.Replicas = w.opts.Replicas
		for i, m := range w.Machines {
			if err := w.enlist(ctx, i, m, params); err != nil {
				return fmt.Errorf("machine %s: %w", m.Name, err)
			}
		}
		if err := w.Env.Sleep(ctx, 5*time.Second); err != nil { // until everybody knows everybody
			return err
		}
		return w.On(ctx, w.Machines[0], func(ctx context.Context, n *node.Node) error {
			_, err := n.Cluster().Apply(ctx) // the first layout may have come when only some had joined
			return err
		})
	})
	if err != nil {
		return err
	}
	return w.Sched.RunUntil(10*time.Minute, func() bool { return w.ready() })
}

func (w *World) enlist(ctx context.Context, i int, m *Machine, params layout.Params) error {
	role := w.role(m)
	if i == 0 {
		return w.On(ctx, m, func(ctx context.Context, n *node.Node) error {
			return n.Cluster().Found(ctx, params, role)
		})
	}
	return w.join(ctx, m, w.Machines[0], role)
}

// role is what a machine is in the first layout.
func (w *World) role(m *Machine) layout.Role {
	role := layout.Role{Node: m.ID, Zone: layout.ZoneName(m.Zone), Capacity: w.opts.Capacity}
	if slices.Contains(w.opts.Gateways, m.Name) {
		role.Capacity = 0
	}
	return role
}

func (w *World) allUp() bool {
	for _, m := range w.Machines {
		if m.Down() {
			return false
		}
	}
	return true
}

// Settled reports whether all machines are up and whole, in one layout that all know and that is the only
// live one.
func (w *World) Settled() bool {
	for _, m := range w.Machines {
		if !m.Whole() || m.Node.Cluster().Status().Before != nil ||
			m.Node.Cluster().LayoutNumber() != w.Machines[0].Node.Cluster().LayoutNumber() {
			return false
		}
	}
	return true
}

// ready reports whether every node knows the layout that all of them are in, and that it is the only live
// one.
func (w *World) ready() bool {
	for _, m := range w.Machines {
		if m.Down() {
			return false
		}
		status := m.Node.Cluster().Status()
		v := status.Layout
		if v == nil || status.Before != nil || len(v.StorageNodes()) != len(w.Machines)-len(w.opts.Gateways) {
			return false
		}
	}
	return true
}
