// Command latency measures how long S3 requests take of a simulated cluster, and of stores of other designs,
// on three sites that are 100 ms apart and on variations of that. README.md has the questions, what was
// expected, and the verdict.
//
//	go run ./experiments/latency
//
// writes the data, the same bytes every time, save that the rows of real processes which
// experiments/latency/real put into data.csv stay there; ./plots/cmd/plots draws them as figures.toml says.
package main
