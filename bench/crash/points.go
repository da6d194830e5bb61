package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"

	"granary/bench/cluster"
)

// Point is a place between two durable steps of the product, at which a binary that was built with failpoints
// can be made to kill itself.
type Point struct {
	Package string // under granary/prod
	Name    string
	Pass    int // the how many-th time that it comes there, from 1
}

// Points are the places, and in how many passes a node under load comes to each every second or so.
var Points = []Point{
	{"bolt", "commit-before", 60}, {"bolt", "commit-after", 60}, {"bolt", "published", 60},
	{"diskfs", "create-before", 20}, {"diskfs", "create-after", 20},
	{"diskfs", "write-before", 20}, {"diskfs", "write-after", 20},
	{"diskfs", "sync-before", 20}, {"diskfs", "sync-after", 20},
	{"diskfs", "rename-before", 20}, {"diskfs", "rename-after", 20},
	{"diskfs", "folder-before", 20}, {"diskfs", "folder-after", 20},
	{"daemon", "snapshot-written", 1}, {"daemon", "snapshot-synced", 1}, {"daemon", "snapshot-renamed", 1},
	{"tcp", "write", 200}, {"tcp", "write-after", 200}, {"tcp", "read", 200},
}

// StartPoints are those that a node comes to when it starts.
var StartPoints = []Point{
	{"bolt", "commit-before", 4}, {"bolt", "commit-after", 4}, {"bolt", "published", 4},
	{"diskfs", "folder-before", 200}, {"diskfs", "folder-after", 200},
	{"tcp", "write", 3}, {"tcp", "read", 3},
}

// String names the point.
func (p Point) String() string { return fmt.Sprintf("%s %s, pass %d", p.Package, p.Name, p.Pass) }

// draw picks one of the points, and a pass up to what it has.
func draw(r *rand.Rand, points []Point) Point {
	p := points[r.IntN(len(points))]
	p.Pass = 1 + r.IntN(p.Pass)
	return p
}

// armSuffix is what follows the data folder's path in the name of the file that tells a node where to die.
// Package main of granary, built with failpoints, has the other end.
const armSuffix = ".die-at"

// arm tells a node to kill itself at the point: the one that runs, or the one that starts next.
func (p Point) arm(n *cluster.Node, running bool) error {
	line := fmt.Sprintf("granary/prod/%s/step %s %d\n", p.Package, p.Name, p.Pass)
	if err := os.WriteFile(n.Data+armSuffix, []byte(line), 0o600); err != nil || !running {
		return err
	}
	return n.Signal(syscall.SIGUSR1)
}

// CanDie reports whether a node's binary has the points. It must run.
func CanDie(n *cluster.Node) bool {
	raw, err := os.ReadFile(n.Log)
	return err == nil && strings.Contains(string(raw), "failpoints are built in")
}
