// Command k2v-conflict measures how many concurrent values live in an item under contention, when its clients
// write with the tokens of what they read and when they do not. README.md has the question, what was
// expected, and the verdict.
//
//	go run ./experiments/k2v-conflict
//
// writes data.csv, the same bytes every time; ./plots/cmd/plots draws it as figures.toml says.
package main
