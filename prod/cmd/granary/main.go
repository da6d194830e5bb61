// Command granary is the store: its server and the commands that manage it.
package main

import (
	"context"
	"os"

	"granary/prod/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), cli.World{Args: os.Args[1:], Program: os.Args[0],
		Env: os.Environ(), In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
