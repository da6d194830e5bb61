// Command detlint runs the determinism analyzer of sim/lint as a vet tool, and lists long functions.
//
//	go vet -vettool=$(which detlint) ./...
//	detlint -funcs
//
// The listing goes to standard output, longest first; it is advice, so the exit code is 0.
package main

import (
	"fmt"
	"os"

	"golang.org/x/tools/go/analysis/unitchecker"

	"granary/sim/lint"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "-funcs" {
		if err := listFuncs(); err != nil {
			fmt.Fprintln(os.Stderr, "detlint:", err)
			os.Exit(1)
		}
		return
	}
	unitchecker.Main(lint.Analyzer)
}

func listFuncs() error {
	root, err := lint.Root(".")
	if err != nil {
		return err
	}
	files, err := lint.Files(root)
	if err != nil {
		return err
	}
	for _, f := range lint.LongFuncs(files) {
		fmt.Println(f)
	}
	return nil
}
