package layout

import (
	"encoding/binary"
	"math/bits"

	"github.com/zeebo/blake3"
)

const prefixBits = 16

// Prefix is the first 16 bits of the BLAKE3 hash of a partition key. Local keys of replicated rows begin
// with it, whatever the number of partitions is.
type Prefix uint16

// PrefixOf returns the prefix of a partition key.
func PrefixOf(partitionKey []byte) Prefix {
	sum := blake3.Sum256(partitionKey)
	return Prefix(binary.BigEndian.Uint16(sum[:]))
}

// Partition is one of the P parts of the hash space: the first log2(P) bits of a Prefix. Doubling P splits
// partition p into 2p and 2p+1.
type Partition uint32

// PartitionOf returns the partition of x among partitions, a power of two up to PartitionsMax.
func PartitionOf(x Prefix, partitions int) Partition {
	return Partition(x >> (prefixBits - log2(partitions)))
}

// Range returns the first and the last prefix of p among partitions.
func (p Partition) Range(partitions int) (first, last Prefix) {
	shift := prefixBits - log2(partitions)
	return Prefix(p << shift), Prefix((p+1)<<shift - 1)
}

func log2(powerOfTwo int) int { return bits.TrailingZeros(uint(powerOfTwo)) }
