package layout

import "flag"

// init asks for more random cases than rapid's default; -rapid.checks on the command line still wins.
func init() {
	if err := flag.Set("rapid.checks", "5000"); err != nil {
		panic(err)
	}
}
