// Command rebalance measures what clients see while the layout changes: with the steps that core/cluster
// takes, without its fences, without them and the lease of core/table, and when the new nodes count as whole
// at once. README.md has the question, what was expected, and the verdict.
//
//	go run ./experiments/rebalance
//
// writes data.csv and totals.csv, the same bytes every time; ./plots/cmd/plots draws them as figures.toml
// says.
package main
