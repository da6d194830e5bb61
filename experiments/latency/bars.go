package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"granary/bench/s3lat"
	"granary/experiments/baseline"
)

// bars makes data.csv and prints it as a table: what granary takes, what stores of other designs take on the
// same network, and what was published. Rows of the real world are kept.
func (r *run) bars() error {
	var granary [4][]s3lat.Row
	topology, err := load("3dc-100ms")
	if err != nil {
		return err
	}
	all := plans(s3lat.Whole)
	err = r.simulate(len(all), func(i int) error {
		p, err := open(r.seed, topology)
		if err != nil {
			return err
		}
		defer p.world.Close()
		granary[i], err = p.rows(0, all[i])
		return err
	})
	if err != nil {
		return err
	}
	others, err := baseline.Measure(r.seed, topology, all[:2])
	if err != nil {
		return err
	}
	rows := slices.Concat(slices.Concat(granary[:]...), others, published(topology.Name))
	fmt.Print(s3lat.Table(rows))
	return s3lat.UpdateCSV(filepath.Join(r.folder, "data.csv"), rows,
		func(b s3lat.Bar) bool { return b.World != s3lat.Real && b.Topology == topology.Name })
}

// published are the means of the chart that this experiment repeats, as read off it, in ms. It does not say
// how large the objects were.
//
// Source: Garage's web site, "S3 endpoint latency in a geo-distributed cluster": 100 measurements, 6 nodes in
// 3 sites, 100 ms of round trip and 20 ms of jitter between sites, 0.5 ms inside, no contention.
func published(topology string) (rows []s3lat.Row) {
	means := map[s3lat.Operation][2]time.Duration{
		s3lat.ListBuckets:  {1, 111},
		s3lat.GetObject:    {112, 528},
		s3lat.PutObject:    {109, 1103},
		s3lat.ListObjects:  {228, 255},
		s3lat.RemoveObject: {217, 1262},
	}
	for _, op := range s3lat.Whole {
		for i, system := range []string{"Garage 0.5", "MinIO 2021-11"} {
			mean := means[op][i] * time.Millisecond
			rows = append(rows, s3lat.Row{Bar: s3lat.Bar{World: s3lat.Published, System: system,
				Topology: topology, Operation: op, Size: small}, Mean: mean, Min: mean, Max: mean,
				P50: mean, P99: mean, Round: 100 * time.Millisecond})
		}
	}
	return rows
}
