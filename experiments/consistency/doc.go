// Command consistency measures what the three levels of consistency promise and what they cost: reads that
// begin while a write is under way, each followed by a read at another site. README.md has the question, what
// was expected, and the verdict.
//
//	go run ./experiments/consistency
//
// writes data.csv, the same bytes every time; ./plots/cmd/plots draws it as figures.toml says.
package main
