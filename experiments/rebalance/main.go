package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	out := flag.String("out", "experiments/rebalance", "the `folder` to write to")
	clients := flag.Int("clients", 12, "clients of each gateway")
	seeds := flag.Uint64("seeds", 3, "changes of each variant")
	flag.Parse()
	data, totals, err := measure(*clients, *seeds)
	for file, table := range map[string]string{"data.csv": data, "totals.csv": totals} {
		if err == nil {
			err = os.WriteFile(filepath.Join(*out, file), []byte(table), 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rebalance:", err)
		os.Exit(1)
	}
}

// measure returns what was seen in each second, and in all, of the changes of each variant.
func measure(clients int, seeds uint64) (data, totals string, err error) {
	var d, sums strings.Builder
	d.WriteString("variant,second,reads,stale,stale_percent,failed,writes\n")
	sums.WriteString("variant,changes,reads,stale,failed,writes,keys,lost,settled_s\n")
	for _, v := range variants {
		each, all := map[int]second{}, second{}
		lost, settled := 0, 0.0
		for seed := range seeds {
			r, err := rebalance(v, seed+1, clients)
			if err != nil {
				return "", "", fmt.Errorf("%s, seed %d: %w", v.name, seed+1, err)
			}
			lost, settled = lost+r.lost, settled+r.settled.Seconds()/float64(seeds)
			for at := range int((before + after).Seconds()) {
				if s := r.seconds[at]; s != nil {
					each[at], all = each[at].plus(*s), all.plus(*s)
				}
			}
		}
		for at := range int((before + after).Seconds()) {
			s := each[at]
			fmt.Fprintf(&d, "%s,%d,%d,%d,%.3f,%d,%d\n", v.name, at-int(before.Seconds()), s.reads, s.stale,
				100*float64(s.stale)/float64(max(s.reads, 1)), s.failed, s.writes)
		}
		fmt.Fprintf(&sums, "%s,%d,%d,%d,%d,%d,%d,%d,%.1f\n", v.name, seeds, all.reads, all.stale, all.failed,
			all.writes, int(seeds)*3*clients, lost, settled)
	}
	return d.String(), sums.String(), nil
}

func (s second) plus(o second) second {
	return second{s.reads + o.reads, s.stale + o.stale, s.failed + o.failed, s.writes + o.writes}
}
