package main

import (
	"bytes"
	"fmt"
)

// frontiers returns the settings for which capacity is given up to move less.
func frontiers() []setting { return []setting{randomSetting(20, 5), randomSetting(50, 5)} }

// tolerances are how much of it, in ten-thousandths.
func tolerances() []int { return []int{0, 25, 50, 100, 150, 200, 300, 500} }

// frontierHeader names the columns of frontier.csv: means over the seeds, in per cent of the bound and of the
// replicas.
const frontierHeader = "nodes,zones,event,tolerance_pct,seeds,usable_pct,moved_pct\n"

func measureFrontier(settings []setting, seeds int) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(frontierHeader)
	var methods []method
	for _, tolerance := range tolerances() {
		methods = append(methods, method{"optimum", partitions, replicas, optimum(tolerance)})
	}
	for _, setting := range settings {
		trials, err := setting.trials(methods, seeds)
		if err != nil {
			return nil, err
		}
		first := trials[0].first
		for event, name := range trials[0].events() {
			if name == initial {
				continue
			}
			for m, tolerance := range tolerances() {
				var usable, moved summary
				for _, s := range samples(trials, m, event) {
					usable.add(s.usablePct())
					moved.add(s.movedPct())
				}
				fmt.Fprintf(&b, "%d,%d,%s,%.2f,%d,%.2f,%.2f\n", len(first.nodes), first.zoneCount(), name,
					float64(tolerance)/100, seeds, usable.mean(), moved.mean())
			}
		}
	}
	return b.Bytes(), nil
}
