// Command s3lat measures how long the requests of an S3 endpoint take, one at a time over kept connections:
// ListBuckets, ListObjects, GetObject and its first byte, PutObject and its time after the last byte, and
// RemoveObject. It prints a table, and adds its rows to a CSV file if one is named.
//
// The endpoint and the key are those of the environment: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and
// AWS_SECRET_ACCESS_KEY, as "granary env" prints them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"granary/bench/s3lat"
	"granary/netsim"
)

// flags are what the command line says.
type flags struct {
	endpoint  s3lat.Endpoint
	plan      s3lat.Plan
	sizes     string
	like      s3lat.Bar
	node, csv string
	topology  netsim.Topology
}

func main() {
	f, err := parse()
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		err = f.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "s3lat:", err)
		os.Exit(1)
	}
}

func parse() (*flags, error) {
	f := &flags{like: s3lat.Bar{World: s3lat.Real}}
	env := func(name, otherwise string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		return otherwise
	}
	flag.StringVar(&f.endpoint.URL, "endpoint", env("AWS_ENDPOINT_URL", "http://127.0.0.1:3900"),
		"`URL` of the server")
	flag.StringVar(&f.endpoint.Region, "region", env("AWS_REGION", "us-east-1"), "to sign for")
	flag.StringVar(&f.endpoint.Bucket, "bucket", "s3lat", "to work in; made and removed if absent")
	flag.IntVar(&f.plan.Count, "n", 100, "requests of each operation")
	flag.IntVar(&f.plan.Warm, "warm", 10, "requests of each operation before, unmeasured")
	flag.StringVar(&f.sizes, "sizes", "256,1048576", "sizes of objects in bytes")
	flag.DurationVar(&f.plan.Idle, "idle", 0, "rest before each request")
	ops := flag.String("operations", "", "those to measure, comma between; empty: all")
	flag.StringVar(&f.like.System, "system", "s3", "name of what answers, for the table")
	topology := flag.String("topology", "",
		"netsim preset or file that the servers' network is like, for round trips and bounds")
	flag.StringVar(&f.node, "node", "a1", "node of the topology that the endpoint is")
	flag.StringVar(&f.csv, "csv", "", "`file` to put the rows in")
	flag.Parse()
	f.endpoint.Key, f.endpoint.Secret = os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	f.plan.Operations = s3lat.Whole
	if *ops != "" {
		f.plan.Operations = nil
		for name := range strings.SplitSeq(*ops, ",") {
			f.plan.Operations = append(f.plan.Operations, s3lat.Operation(name))
		}
	}
	if *topology == "" {
		return f, nil
	}
	var err error
	f.topology, err = netsim.Load(*topology, os.ReadFile)
	f.like.Topology = f.topology.Name
	return f, err
}

// bounds are one round trip and the lower bound of a majority of sites; 0 without a topology.
func (f *flags) bounds() (round, quorum time.Duration, err error) {
	if f.topology.Name == "" {
		return 0, 0, nil
	}
	if round, err = s3lat.SiteRound(f.topology, f.node); err == nil {
		quorum, err = s3lat.Bound(f.topology, f.node, len(f.topology.Zones)/2+1)
	}
	return round, quorum, err
}

func (f *flags) run(ctx context.Context) (err error) {
	round, quorum, err := f.bounds()
	if err != nil {
		return err
	}
	store, err := s3lat.DialS3(f.endpoint)
	if err != nil {
		return err
	}
	made, err := store.MakeBucket(ctx)
	if err != nil {
		return fmt.Errorf("bucket %s: %w", f.endpoint.Bucket, err)
	}
	if made {
		defer func() { err = errors.Join(err, store.RemoveBucket(ctx)) }()
	}
	var rows []s3lat.Row
	for text := range strings.SplitSeq(f.sizes, ",") {
		p := f.plan
		if p.Size, err = strconv.ParseInt(strings.TrimSpace(text), 10, 64); err != nil {
			return fmt.Errorf("size: %w", err)
		}
		times, err := s3lat.Measure(ctx, store, s3lat.RealSleep, p)
		if err != nil {
			return err
		}
		rows = append(rows, times.Rows(f.like, p, round, quorum)...)
	}
	fmt.Print(s3lat.Table(rows))
	if f.csv != "" {
		err = s3lat.UpdateCSV(f.csv, rows, nil)
	}
	return err
}
