// Command k2v measures the K2V endpoint of real processes: single inserts and reads, batches, a listing of
// 100,000 partition keys, and the memory and wake-up of 1,000 polls on one partition. It leaves the numbers
// in bench/results.
//
//	go run ./bench/k2v -granary bin/granary
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"granary/bench/cluster"
	"granary/bench/report"
	"granary/core/api/k2v/client"
	"granary/core/auth"
)

// plan says how much is measured.
type plan struct {
	perCell    time.Duration // of a measurement by time
	partitions int
	polls      int
}

// bench is one run against one store.
type bench struct {
	plan
	name    string
	cluster *cluster.Cluster
	clients []*client.Client // one for each node
	*results
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "k2v:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	p := plan{perCell: 5 * time.Second, partitions: 100_000, polls: 1000}
	binary := flag.String("granary", "bin/granary", "path of the binary")
	parent := flag.String("folder", "",
		"folder for data, on the disk that is to be measured (the temporary folder)")
	flag.DurationVar(&p.perCell, "time", p.perCell, "of each measurement of inserts, reads and batches")
	flag.IntVar(&p.partitions, "partitions", p.partitions, "partition keys that are listed")
	flag.IntVar(&p.polls, "polls", p.polls, "polls at a time")
	out := flag.String("out", "bench/results", "folder of the results; empty: only print them")
	flag.Parse()
	path, err := filepath.Abs(*binary)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp(*parent, "granary-k2v-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	ctx := context.Background()
	var r results
	if r.machine, err = report.Machine(ctx, folder); err != nil {
		return err
	}
	fmt.Println(r.machine)
	for _, nodes := range []string{"one", "three"} {
		o := cluster.Options{Binary: path, Folder: filepath.Join(folder, nodes)}
		var c *cluster.Cluster
		if nodes == "one" {
			c, _, err = cluster.Dev(ctx, o)
		} else {
			c, err = cluster.Three(ctx, o)
		}
		if err != nil {
			return err
		}
		b := &bench{plan: p, name: nodes, cluster: c, results: &r}
		if err := errors.Join(b.measure(ctx), c.Close()); err != nil {
			return err
		}
	}
	if *out == "" {
		return nil
	}
	return r.write(*out)
}

const bucket = "load"

// measure measures everything on one store.
func (b *bench) measure(ctx context.Context) error {
	if _, err := b.cluster.Nodes[0].Run(ctx, "bucket", "create", bucket, "--owner",
		b.cluster.Key.ID); err != nil {
		return err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * b.polls}
	defer transport.CloseIdleConnections()
	for _, n := range b.cluster.Nodes {
		b.clients = append(b.clients, &client.Client{HTTP: &http.Client{Transport: transport},
			Endpoint: "http://" + n.K2V, Bucket: bucket, Region: cluster.Region,
			Key:    auth.KeyID(b.cluster.Key.ID),
			Secret: auth.Secret(b.cluster.Key.Secret), Now: time.Now})
	}
	for _, step := range []func(context.Context) error{b.items, b.batches, b.index, b.poll} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
	}
	return nil
}
