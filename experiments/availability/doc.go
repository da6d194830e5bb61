// Command availability measures what clients notice when a site fails: of a quorum store, granary, and of a
// log with a leader. README.md has the question, what was expected, and the verdict.
//
//	go run ./experiments/availability
//
// writes data.csv, the same bytes every time; ./plots/cmd/plots draws it as figures.toml says.
package main
