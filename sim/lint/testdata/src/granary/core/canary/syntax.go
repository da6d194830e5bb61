// Package canary commits every sin that the analyzer knows, once each.
package canary

import (
	_ "unsafe" // want `import of unsafe`

	"fmt"

	"granary/core/rt"
)

func goroutine(f func()) {
	go f() // want `go statement: start tasks by rt.Group.Go`
}

func channels(c chan int) { // want `channel type`
	d := make(chan<- int) // want `channel type`
	d <- 1                // want `channel send`
	<-c                   // want `channel receive`
	v, ok := <-c          // want `channel receive`
	for range c {         // want `range over a channel`
	}
	select {}   // want `select`
	close(c)    // want `close`
	print(v)    // want `print`
	println(ok) // want `println`
}

type conn[C ~chan E, E any] struct{ c C } // want `channel type`

func generic[C ~chan E, E any](c C) { // want `channel type`
	for range c { // want `range over a channel`
	}
}

type node struct{ rt.Env }

type fake struct{}

func (fake) Spawn(name string, f func()) {}

type other struct{}

func (other) Spawn() {}

func spawn(env rt.Env, n node, f fake, g *rt.Group) {
	env.Spawn("a", nil) // want `Env.Spawn: start tasks by rt.Group.Go; only rt itself spawns`
	n.Spawn("b", nil)   // want `Env.Spawn`
	f.Spawn("c", nil)   // want `Env.Spawn`
	start := env.Spawn  // want `Env.Spawn`
	start("d", nil)
	other{}.Spawn()
	g.Go("e", nil)
}

func address(p *int) string {
	return fmt.Sprintf("%d at %p", *p, p) // want `%p: addresses`
}
