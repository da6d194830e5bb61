// Package rt stands in for the real one: the analyzer knows it by path and name.
package rt

type Env interface {
	Spawn(name string, f func())
}

type Group struct{ env Env }

func (g *Group) Go(name string, f func()) { g.env.Spawn(name, f) }
