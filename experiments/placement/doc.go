// Command placement compares ways to say which nodes store a key: consistent hashing, its two geographic
// adaptations, rendezvous, straws, and the table that core/layout computes. README.md has the questions, what
// was expected, and the verdict.
//
//	go run ./experiments/placement
//
// writes events.csv, frontier.csv, partitions.csv and drift.csv, the same bytes every time; ./plots/cmd/plots
// draws them as figures.toml says.
//
// Each method has a file of its own. Throughout, a key has three replicas, which shall be in three zones, and
// every cluster has at least three. Methods compare integers only; floats are for what is reported.
package main
