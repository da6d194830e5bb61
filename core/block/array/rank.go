package array

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/zeebo/blake3"

	"granary/core/block"
)

// logBits are the bits behind the point of a logarithm.
const logBits = 24

// order returns the places of disks by how much they want a block, the home first; those without weight are
// last.
//
// A disk of weight w that draws u from (0, 1] comes before another with probability proportional to w if the
// disks are ordered by -ln(u)/w, which is exponentially distributed with rate w. Integers alone: all machines
// agree.
func order(ids []string, weights []int64, h block.Hash) []int {
	type entry struct {
		at   int
		cost uint64 // -log2(u), fixed point
	}
	all := make([]entry, len(ids))
	for i, id := range ids {
		all[i] = entry{i, cost(draw(id, h))}
	}
	slices.SortFunc(all, func(a, b entry) int {
		wa, wb := uint64(weights[a.at]), uint64(weights[b.at])
		// a.cost/wa < b.cost/wb, in 128 bits; a weight of 0 makes the quotient infinite.
		ah, al := bits.Mul64(a.cost, wb)
		bh, bl := bits.Mul64(b.cost, wa)
		switch {
		case wa == 0 || wb == 0:
			if c := compare(wb, wa); c != 0 {
				return c
			}
			return compare(a.cost, b.cost)
		case ah != bh:
			return compare(ah, bh)
		case al != bl:
			return compare(al, bl)
		}
		return compare(uint64(a.at), uint64(b.at))
	})
	places := make([]int, len(all))
	for i, e := range all {
		places[i] = e.at
	}
	return places
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// draw is what a disk draws for a block: a number below 2^64 that is as good as random.
func draw(id string, h block.Hash) uint64 {
	sum := blake3.Sum256(append([]byte(id), h[:]...))
	return binary.BigEndian.Uint64(sum[:])
}

// cost is -log2((x+1)/2^64) with logBits bits behind the point, rounded up to at least the smallest step.
func cost(x uint64) uint64 {
	if x == 1<<64-1 {
		return 1
	}
	return max(1, 64<<logBits-log2(x+1))
}

// log2 is the logarithm of x > 0 with logBits bits behind the point, rounded down: the bits come one by one
// from squaring.
func log2(x uint64) uint64 {
	whole := uint64(bits.Len64(x) - 1)
	y := x << (63 - whole) // in [1, 2), with 63 bits behind the point
	log := whole
	for range logBits {
		hi, lo := bits.Mul64(y, y) // in [1, 4), with 126 bits behind the point
		if log <<= 1; hi>>63 == 1 {
			log, y = log|1, hi
		} else {
			y = hi<<1 | lo>>63
		}
	}
	return log
}
