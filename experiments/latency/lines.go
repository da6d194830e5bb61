package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"granary/bench/s3lat"
	"granary/netsim"
	"granary/sim/stopwatch"
)

// roundTrips are the distances between sites that the lines are drawn over.
var roundTrips = []time.Duration{1, 3, 10, 30, 100, 200, 300}

// distance makes distance.csv: every operation against the round trip between sites, with a fifth of it as
// jitter, on objects of both sizes.
func (r *run) distance() error {
	cells := make([][]s3lat.Row, 2*len(roundTrips))
	err := r.simulate(len(cells), func(i int) error {
		trip, size := roundTrips[i/2]*time.Millisecond, []int64{small, middle}[i%2]
		topology := netsim.Regular(fmt.Sprint(trip), 3, 2, netsim.Path{Delay: trip / 2, Jitter: trip / 10},
			netsim.Path{Delay: min(trip/2, 250*time.Microsecond)})
		p, err := open(r.seed, topology)
		if err != nil {
			return err
		}
		defer p.world.Close()
		cells[i], err = p.rows(0, s3lat.Plan{Count: 100, Warm: 10, Size: size, Operations: s3lat.Whole})
		return err
	})
	if err != nil {
		return err
	}
	var out bytes.Buffer
	fmt.Fprintln(&out, "round_trip_ms,size_bytes,operation,min_ms,mean_ms,max_ms,bound_ms,round_trips")
	for i, rows := range cells {
		for _, row := range rows {
			fmt.Fprintf(&out, "%d,%d,%s,%s,%s,%s,%s,%.2f\n", roundTrips[i/2], row.Size, row.Operation,
				millis(row.Min), millis(row.Mean), millis(row.Max), millis(row.Bound), row.Rounds())
		}
	}
	return r.write("distance.csv", out.Bytes())
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.3f", float64(d)/float64(time.Millisecond))
}

// passing is how long so many bytes take to pass a link.
func passing(rate netsim.Rate, bytes int64) time.Duration {
	return time.Duration(bytes * 8 * int64(time.Second) / int64(rate))
}

// largeLaps is how often an object of 64 MiB is put and read at each distance.
const largeLaps = 5

// large makes large.csv: an object of 64 MiB put at a storing site and read through a gateway in a fourth
// site, against the round trip between sites, each request after a rest of ten seconds.
func (r *run) large() error {
	type cell struct{ put, get []stopwatch.Lap }
	cells := make([]cell, len(roundTrips))
	base, err := load(farTopology)
	if err != nil {
		return err
	}
	err = r.simulate(len(cells), func(i int) error {
		topology := base
		topology.Between.Delay = roundTrips[i] * time.Millisecond / 2
		topology.Inside.Delay = min(topology.Between.Delay, topology.Inside.Delay)
		p, err := open(r.seed, topology, gateway)
		if err != nil {
			return err
		}
		defer p.world.Close()
		return p.world.Do(limit, func(ctx context.Context) error {
			for n := range largeLaps + 1 {
				put, get, err := p.lap(ctx)
				if err != nil {
					return err
				}
				if n > 0 { // the first opens connections
					cells[i].put, cells[i].get = append(cells[i].put, put), append(cells[i].get, get)
				}
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	var out bytes.Buffer
	fmt.Fprintln(&out, "round_trip_ms,operation,first_byte_ms,low_mbit_s,mean_mbit_s,high_mbit_s")
	for i, c := range cells {
		fmt.Fprintf(&out, "%d,PUT,,%s\n", roundTrips[i], rates(c.put))
		first := time.Duration(0)
		for _, lap := range c.get {
			first += lap.First / largeLaps
		}
		fmt.Fprintf(&out, "%d,GET,%s,%s\n", roundTrips[i], millis(first), rates(c.get))
	}
	return r.write("large.csv", out.Bytes())
}

// lap puts a large object at the first machine and reads it through the last, each after a rest.
func (p *place) lap(ctx context.Context) (put, get stopwatch.Lap, err error) {
	const rest = 10 * time.Second
	object := "/" + bucketName + "/large"
	if err = p.world.Env.Sleep(ctx, rest); err == nil {
		put, err = p.clients[0].Do("PUT", object, large)
	}
	if err == nil {
		err = p.world.Env.Sleep(ctx, rest)
	}
	if err == nil {
		get, err = p.clients[len(p.clients)-1].Do("GET", object, 0)
	}
	return put, get, err
}

// rates are the least, mean and greatest throughput of laps, in Mbit/s.
func rates(laps []stopwatch.Lap) string {
	var all []float64
	sum := 0.0
	for _, lap := range laps {
		rate := float64(large*8) / lap.Total.Seconds() / 1e6
		all, sum = append(all, rate), sum+rate
	}
	return fmt.Sprintf("%.1f,%.1f,%.1f", slices.Min(all), sum/float64(len(all)), slices.Max(all))
}
