package layout

import (
	"github.com/zeebo/blake3"

	"granary/core/rt"
)

// NamedNode returns an id for a node that has only a name: one that is thought of, not one that runs. It is
// the BLAKE3 hash of the name with a prefix, and no key belongs to it.
func NamedNode(name string) rt.NodeID {
	return blake3.Sum256(append([]byte("granary node of this name\x00"), name...))
}
