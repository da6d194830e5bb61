// Command quorum measures how many reads are stale against the sizes of the quorums and the jitter of the
// network. README.md has the question, what was expected, and the verdict.
//
//	go run ./experiments/quorum
//
// writes data.csv, the same bytes every time; ./plots/cmd/plots draws it as figures.toml says.
package main
