package layout

import (
	"github.com/zeebo/blake3"

	"granary/core/rt"
)

// namedPrefix is how much of a name its id begins with, in bytes.
const namedPrefix = 16

// NamedNode returns an id for a node that has only a name: one that is thought of, not one that runs. It
// begins as the name does, so that ties between such nodes break by their names; the rest is of the name's
// BLAKE3 hash. No key belongs to it.
func NamedNode(name string) rt.NodeID {
	id := rt.NodeID(blake3.Sum256(append([]byte("granary node of this name\x00"), name...)))
	var begin [namedPrefix]byte
	copy(begin[:], name)
	copy(id[:], begin[:])
	return id
}
