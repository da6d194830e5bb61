package node

import (
	"time"

	"granary/core/cluster"
	"granary/core/codec"
	"granary/core/rpc"
	"granary/core/rt"
)

// news is what the node's pings carry.
type news struct {
	Rows  []byte              `cbor:"1,keyasint,omitempty"` // table.Tables Pulse
	Store cluster.Incarnation `cbor:"2,keyasint"`
}

// news implements rpc.Hooks.
func (n *Node) news() []byte {
	raw, err := codec.Marshal(news{Rows: n.tables.Pulse(), Store: n.cluster.Pulse()})
	if err != nil || len(raw) > rpc.NewsMax {
		rt.Break("news of %d bytes cannot be sent: %v", len(raw), err)
	}
	return raw
}

// onNews implements rpc.Hooks.
func (n *Node) onNews(from rt.NodeID, raw []byte, asked time.Duration) {
	var said news
	if codec.Unmarshal(raw, &said) != nil {
		return
	}
	n.cluster.OnPulse(from, said.Store)
	n.tables.OnPulse(from, said.Rows, asked)
}
