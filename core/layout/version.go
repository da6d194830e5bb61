package layout

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/zeebo/blake3"

	"granary/core/codec"
	"granary/core/rt"
)

// Algorithm is the number of the function that Assign is. A change that can make another table gets another
// number.
const Algorithm = 2

var kindVersion = codec.Register(0x10, 1, "layout version")

// Version is one layout: who stores what. It is not changed after Assign made it. Safe for concurrent use.
type Version struct {
	Number uint64 `cbor:"1,keyasint"` // 1 for the first
	Parent Hash   `cbor:"2,keyasint"` // of version Number-1; zero for the first
	Params Params `cbor:"3,keyasint"`
	Roles  []Role `cbor:"4,keyasint"` // ascending by Node, gateways too
	// Size is the greatest partition size, in bytes, at which every node can hold what it is given.
	Size uint64 `cbor:"5,keyasint"`
	// Table has Replicas indices into Roles for each partition, ascending within a partition.
	Table Table `cbor:"6,keyasint"`
	// Algorithm is the number of the function that made Table.
	Algorithm uint8 `cbor:"7,keyasint"`
	// Budget is the moves that Rebalance was given, if it made Table; zero if Assign did.
	Budget uint32 `cbor:"8,keyasint,omitempty"`
	// Split is how often the partitions were doubled since Table was optimised: 2^Split partitions in a row
	// are on the same nodes, and the size is the best that their number before allowed.
	Split uint8 `cbor:"9,keyasint,omitempty"`
}

// Table is P rows of n indices into a version's roles, one after the other. Its encoding is a byte string,
// two bytes an index, big endian.
type Table []uint16

// MarshalCBOR encodes the table as a byte string.
func (t Table) MarshalCBOR() ([]byte, error) {
	raw := make([]byte, 0, 2*len(t))
	for _, index := range t {
		raw = binary.BigEndian.AppendUint16(raw, index)
	}
	return codec.Marshal(raw)
}

// UnmarshalCBOR reads what MarshalCBOR wrote.
func (t *Table) UnmarshalCBOR(data []byte) error {
	var raw []byte
	if err := codec.Unmarshal(data, &raw); err != nil {
		return err
	}
	if len(raw)%2 != 0 || len(raw) > 2*PartitionsMax*ReplicasMax {
		most := 2 * PartitionsMax * ReplicasMax
		return fmt.Errorf("layout: table of %d bytes: want an even number up to %d", len(raw), most)
	}
	*t = make(Table, len(raw)/2)
	for i := range *t {
		(*t)[i] = binary.BigEndian.Uint16(raw[2*i:])
	}
	return nil
}

// Hash returns the hash that names v, over its encoding. Cost: a pass over the table; keep the result.
func (v *Version) Hash() Hash {
	raw, err := codec.Marshal(v)
	if err != nil {
		rt.Break("layout: version %d cannot be encoded: %v", v.Number, err)
	}
	return blake3.Sum256(raw)
}

// Row returns the indices into Roles of the partition's replicas, ascending. It is a part of the table.
func (v *Version) Row(p Partition) []uint16 {
	n := v.Params.Replicas
	return v.Table[int(p)*n : (int(p)+1)*n : (int(p)+1)*n]
}

// Replicas returns the nodes of the partition, ascending.
func (v *Version) Replicas(p Partition) []rt.NodeID {
	row := v.Row(p)
	nodes := make([]rt.NodeID, len(row))
	for i, index := range row {
		nodes[i] = v.Roles[index].Node
	}
	return nodes
}

// PartitionOf returns the partition of a prefix in this version.
func (v *Version) PartitionOf(x Prefix) Partition { return PartitionOf(x, v.Params.Partitions) }

// Set returns the replicas of a prefix, with the quorums they answer in.
func (v *Version) Set(x Prefix) Set {
	return Set{
		Version: v.Number, Nodes: v.Replicas(v.PartitionOf(x)),
		Write: v.Params.WriteQuorum(), Read: v.Params.ReadQuorum(),
	}
}

// Role returns the role of node; ok is false if it has none.
func (v *Version) Role(node rt.NodeID) (r Role, ok bool) {
	i, ok := slices.BinarySearchFunc(v.Roles, Role{Node: node}, compareRoles)
	if !ok {
		return Role{}, false
	}
	return v.Roles[i], true
}

// StorageNodes returns the nodes with capacity, ascending: the voters of the full-copy tables.
func (v *Version) StorageNodes() []rt.NodeID {
	var nodes []rt.NodeID
	for _, r := range v.Roles {
		if r.Stores() {
			nodes = append(nodes, r.Node)
		}
	}
	return nodes
}

// Partitions returns the partitions that node stores, ascending. Cost: a pass over the table.
func (v *Version) Partitions(node rt.NodeID) []Partition {
	var out []Partition
	for p := range Partition(v.Params.Partitions) {
		for _, index := range v.Row(p) {
			if v.Roles[index].Node == node {
				out = append(out, p)
			}
		}
	}
	return out
}

// Loads returns how many partitions each role's node stores, in the order of Roles.
func (v *Version) Loads() []int {
	loads := make([]int, len(v.Roles))
	for _, index := range v.Table {
		loads[index]++
	}
	return loads
}

// Usable returns the bytes that the layout can store, replicas not counted.
func (v *Version) Usable() uint64 { return saturatingMul(v.Size, uint64(v.Params.Partitions)) }

// Moves returns how many replicas of v are on nodes that did not hold them in prev: what a transition
// copies, in partitions of v. A nil prev held nothing.
func (v *Version) Moves(prev *Version) int {
	moves := 0
	for p := range v.Params.Partitions {
		had := previousNodes(prev, p, v.Params.Partitions)
		for _, node := range v.Replicas(Partition(p)) {
			if !slices.Contains(had, node) {
				moves++
			}
		}
	}
	return moves
}

// previousNodes returns the nodes that hold, in prev, the data of partition p of partitions. If prev has more
// partitions, it is those of the first of them.
func previousNodes(prev *Version, p, partitions int) []rt.NodeID {
	if prev == nil {
		return nil
	}
	first, _ := Partition(p).Range(partitions)
	return prev.Replicas(prev.PartitionOf(first))
}

// Verify makes the table anew from prev, nil for none, and compares. A difference is a fault in the
// program that made v or in this one, and no reason to stop: what Validate checks is what data depend on.
//
// Errors: ErrInvalid if they differ. Nil if another Algorithm made v, since nothing can be said then.
func (v *Version) Verify(prev *Version) error {
	if v.Algorithm != Algorithm {
		return nil
	}
	again, err := v.again(prev)
	switch {
	case err != nil:
		return fmt.Errorf("layout: version %d: %w: %w", v.Number, ErrInvalid, err)
	case again.Hash() != v.Hash():
		return fmt.Errorf("layout: version %d is %v, and algorithm %d makes %v of its roles: %w", v.Number,
			v.Hash(), Algorithm, again.Hash(), ErrInvalid)
	}
	return nil
}

func (v *Version) again(prev *Version) (*Version, error) {
	if v.Budget > 0 && prev != nil {
		return Rebalance(prev, int(v.Budget))
	}
	return Assign(v.Roles, v.Params, prev)
}

// Seal returns v encoded for storage.
func (v *Version) Seal() ([]byte, error) { return codec.Seal(kindVersion, 1, v) }

// OpenVersion reads what Seal returned, and validates it.
//
// Errors: those of codec.Open; ErrInvalid.
func OpenVersion(data []byte) (*Version, error) {
	v, err := codec.Load[Version](data, kindVersion)
	if err != nil {
		return nil, err
	}
	if err := v.Validate(); err != nil {
		return nil, err
	}
	return &v, nil
}
