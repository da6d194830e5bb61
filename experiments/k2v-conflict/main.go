package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

// params are the numbers of a run.
type params struct {
	seed    uint64
	clients []int
	writes  int // of each client
}

func whole() params {
	return params{seed: 1, clients: []int{1, 2, 3, 4, 6, 8, 12, 16, 24, 32}, writes: 25}
}

func main() {
	out := flag.String("out", "experiments/k2v-conflict/data.csv", "the `file` to write")
	p := whole()
	flag.Uint64Var(&p.seed, "seed", p.seed, "of the simulator")
	flag.Parse()
	table, err := measure(p)
	if err == nil {
		err = os.WriteFile(*out, []byte(table), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "k2v-conflict:", err)
		os.Exit(1)
	}
}

// measure returns the table of all cells.
func measure(p params) (string, error) {
	var b strings.Builder
	b.WriteString("clients,tokens,reads,mean,most,least,at_rest,refused\n")
	for _, clients := range p.clients {
		for _, tokens := range []bool{true, false} {
			c, err := contend(p.seed, clients, p.writes, tokens)
			if err != nil {
				return "", fmt.Errorf("%d clients, tokens %v: %w", clients, tokens, err)
			}
			fmt.Fprintf(&b, "%d,%v,%d,%.3f,%d,%d,%d,%d\n", clients, tokens, c.reads, c.mean(), c.most,
				c.least,
				c.rest, c.refused)
		}
	}
	return b.String(), nil
}
