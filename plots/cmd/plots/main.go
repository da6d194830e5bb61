// Command plots draws the figures of the folders that it is given and of those below them, as their files
// figures.toml say, and prints the names of what it drew. See package plots.
package main

import (
	"fmt"
	"os"

	"granary/plots"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: plots FOLDER...")
		os.Exit(2)
	}
	for _, folder := range os.Args[1:] {
		drawn, err := plots.DrawAll(folder)
		for _, name := range drawn {
			fmt.Println(name)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "plots:", err)
			os.Exit(1)
		}
	}
}
