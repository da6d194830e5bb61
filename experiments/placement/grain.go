package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"

	"granary/core/layout"
)

// grain is a kind of cluster that is cut into ever more partitions. The hashes, which cost more, are measured
// where hashed says so.
type grain struct {
	nodes, zones int
	hashed       bool
}

func grains() []grain {
	return []grain{{7, 3, false}, {20, 5, true}, {50, 5, true}, {100, 10, false}, {200, 10, false},
		{500, 10, false}, {1000, 10, false}}
}

// The least and the greatest number of partitions, as powers of two. Hashes have every second one.
const (
	grainFirst = 6
	grainLast  = 14
)

// grainHeader names the columns of partitions.csv. Usable is in per cent of the bound; the model is what the
// optimum is thought to reach.
const grainHeader = "nodes,zones,method,log2_partitions,partitions,seeds,usable_pct,usable_low,usable_high," +
	"model_pct\n"

// hashes are the methods that could make up for their unevenness by more partitions.
func hashes() map[string]func(cluster, int) table {
	return map[string]func(cluster, int) table{
		"try 2": maglevTurns, "rendezvous": rendezvous, "straw": straws,
	}
}

func measurePartitions(grains []grain, last, seeds int) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(grainHeader)
	for _, g := range grains {
		names := []string{"optimum"}
		if g.hashed {
			names = append(names, "try 2", "rendezvous", "straw")
		}
		for i, name := range names {
			step := 1 + min(i, 1)
			for log2 := grainFirst; log2 <= last; log2 += step {
				partitions := 1 << log2
				usable := make([]float64, seeds)
				err := parallel(seeds, func(i int) (err error) {
					usable[i], err = g.usable(uint64(i+1), name, partitions)
					return err
				})
				if err != nil {
					return nil, err
				}
				var s summary
				for _, u := range usable {
					s.add(u)
				}
				model := 100 * modelUsable(g.nodes, partitions)
				fmt.Fprintf(&b, "%d,%d,%s,%d,%d,%d,%s,%.2f\n", g.nodes, g.zones, name, log2, partitions,
					seeds, s.csv(), model)
			}
		}
	}
	return b.Bytes(), nil
}

// modelUsable is the share of the bound that whole partitions of size s leave: a node wastes half of one in
// the mean, so capacities T give T/s - nodes/2 places for all replicas.
func modelUsable(nodes, partitions int) float64 {
	return 1 / (1 + float64(nodes)/float64(2*replicas*partitions))
}

// usable returns what a cluster holds in that many partitions, in per cent of the bound.
func (g grain) usable(seed uint64, method string, partitions int) (float64, error) {
	c := random(rand.New(rand.NewPCG(seed, uint64(g.nodes))), seed, g.nodes, g.zones)
	limit, err := bound(c)
	if err != nil {
		return 0, err
	}
	if place, hashed := hashes()[method]; hashed {
		return 100 * place(c, partitions).usable(c) / limit, nil
	}
	size, err := layout.Optimum(roles(c), params(partitions, 0))
	return 100 * float64(size) / bytesPerGB * float64(partitions) / limit, err
}
