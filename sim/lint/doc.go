// Package lint holds the rules about the tree, as tests: what may import what, what may make a run differ
// from the next, what must be documented, how long a file may be.
//
//  1. The lattice. lattice.txt says which package may import which, with the reason; [Lattice] reads it and
//     judges what go list reports.
//  2. Determinism. [Analyzer] finds everything in core, netsim and sim that could make two runs of one seed
//     differ: goroutines, channels, clocks, global randomness, locks, map order. A line that is harmless
//     after all says why in a comment `//det:ok reason` at its end or on a line of its own above; an excuse
//     without a reason, or one that excuses nothing, is a finding itself. Test files are not checked.
//  3. Words. Every package and every exported name has a doc comment, [Docs].
//  4. Sizes. Files and lines have limits, [Sizes]; long functions are listed, [LongFuncs].
//
// go test ./sim/lint enforces all of it over the whole module. The analyzer alone also runs as a vet tool:
//
//	go build -o detlint ./sim/cmd/detlint && go vet -vettool=./detlint ./...
//
// The canary under testdata commits every sin once; the analyzer must find each.
package lint
