//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"granary/bench/cluster"
	"granary/bench/s3lat"
	"granary/netsim"
	"granary/netsim/wan"
)

// world is a cluster on a network.
type world struct {
	topology netsim.Topology
	router   *exec.Cmd // nil: not started
	network  *wan.Client
	cluster  *cluster.Cluster
	scene    scene
}

// Ports of every node in its namespace.
const (
	s3Port    = "3900"
	peersPort = "3901"
)

// build makes the network of a scene, and on it a cluster in folder.
func (r *run) build(ctx context.Context, s scene, folder string) (_ *world, err error) {
	w := &world{scene: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.topology, err = netsim.Load(s.topology, os.ReadFile); err != nil {
		return nil, err
	}
	name := fmt.Sprint("latency-", os.Getpid())
	if err := w.route(r.wan, name, r.queue); err != nil {
		return nil, err
	}
	nodes, err := w.network.Places()
	if err != nil {
		return nil, err
	}
	var places []cluster.Place
	for _, p := range nodes {
		places = append(places, cluster.Place{Name: p.Name, Zone: p.Zone, S3: "127.0.0.1:" + s3Port,
			Peers: net.JoinHostPort(p.Addr.String(), peersPort), Gateway: p.Name == s.gateway,
			Prefix: []string{r.wan, "exec", "-name", name, p.Name, "--"}})
	}
	w.cluster, err = cluster.At(ctx, cluster.Options{Binary: r.granary, Folder: folder}, places)
	return w, err
}

// route starts the network, in a process of its own that ends with this one, and waits until it is up.
func (w *world) route(binary, name string, queue time.Duration) error {
	args := []string{"up", "-wait", "-name", name, "-queue", queue.String()}
	for setting, value := range w.scene.sysctl {
		args = append(args, "-sysctl", setting+"="+value)
	}
	w.router = exec.Command(binary, append(args, w.scene.topology)...)
	w.router.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	w.router.Stderr = os.Stderr
	if err := w.router.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- w.router.Wait() }()
	for {
		select {
		case err := <-ended:
			w.router = nil
			return fmt.Errorf("wan up: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
		var err error
		if w.network, err = wan.Connect(name); err == nil || !errors.Is(err, wan.ErrDown) {
			return err
		}
	}
}

func (w *world) close() error {
	var errs []error
	if w.cluster != nil {
		errs = append(errs, w.cluster.Close())
	}
	if w.router != nil {
		errs = append(errs, w.network.Down())
	}
	return errors.Join(errs...)
}

// store returns a client that runs on a node.
func (w *world) store(node, bucket string) (*s3lat.S3, error) {
	return s3lat.DialS3(s3lat.Endpoint{URL: "http://127.0.0.1:" + s3Port, Region: cluster.Region,
		Key: w.cluster.Key.ID, Secret: w.cluster.Key.Secret, Bucket: bucket,
		Dial: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
			err = w.network.Enter(node, func() (err error) {
				var d net.Dialer
				c, err = d.DialContext(ctx, network, addr)
				return err
			})
			return c, err
		}})
}

// measure carries out one plan, in a bucket of its own, again if the network was not exact meanwhile.
func (r *run) measure(ctx context.Context, w *world, m measure) error {
	name := w.scene.named(m)
	for range r.attempts {
		fmt.Printf("%s: %d × %v\n", name, m.plan.Count, m.plan.Operations)
		rows, exact, err := r.attempt(ctx, w, m)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Print(s3lat.Table(rows))
		if exact {
			r.rows = append(r.rows, rows...)
			return nil
		}
		fmt.Println("The machine was too busy: this does not count.")
	}
	r.inexact = append(r.inexact, name)
	return nil
}

func (r *run) attempt(ctx context.Context, w *world, m measure) (rows []s3lat.Row, exact bool, err error) {
	store, err := w.store(m.node, "bench")
	if err != nil {
		return nil, false, err
	}
	if _, err := store.MakeBucket(ctx); err != nil {
		return nil, false, err
	}
	if _, err := w.network.Stats(true); err != nil {
		return nil, false, err
	}
	if err := r.loads.look(); err != nil {
		return nil, false, err
	}
	times, err := s3lat.Measure(ctx, store, s3lat.RealSleep, m.plan)
	if err != nil {
		return nil, false, err
	}
	if err := r.loads.look(); err != nil {
		return nil, false, err
	}
	if exact, err = w.exact(m); err != nil {
		return nil, false, err
	}
	round, err := s3lat.SiteRound(w.topology, m.node)
	if err != nil {
		return nil, false, err
	}
	quorum, err := s3lat.Bound(w.topology, m.node, 2)
	if err != nil {
		return nil, false, err
	}
	like := s3lat.Bar{World: s3lat.Real, System: w.scene.system, Topology: w.topology.Name}
	rows = times.Rows(like, m.plan, round, quorum)
	if m.rate > 0 {
		rows = throughput(rows, m.rate)
	}
	return rows, exact, nil
}

// throughput keeps the whole requests, with the time of their bytes on a link for a bound.
func throughput(rows []s3lat.Row, rate int64) []s3lat.Row {
	var whole []s3lat.Row
	for _, row := range rows {
		if row.Operation == s3lat.GetObject || row.Operation == s3lat.PutObject {
			row.Bound = time.Duration(row.Size * 8 * int64(time.Second) / rate)
			whole = append(whole, row)
		}
	}
	return whole
}

// lateMax is how late 99 % of the packets may be for a measurement of small objects to count. What a block
// brings comes as a burst, whose last packets wait for the machine to deliver the first.
const lateMax = 500 * time.Microsecond

// exact prints how exact the network was during a measurement, and reports whether that was enough.
func (w *world) exact(m measure) (bool, error) {
	stats, err := w.network.Stats(true)
	if err != nil {
		return false, err
	}
	fmt.Println(stats)
	return m.plan.Size > small || stats.Errors.Quantile(990) <= lateMax, nil
}
