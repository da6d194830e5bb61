package main

import "math/bits"

// hash mixes its parts into 64 bits, each as good as random.
//
// Source: the finaliser of splitmix64 (G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom
// number generators", 2014).
func hash(parts ...uint64) uint64 {
	x := uint64(0)
	for _, part := range parts {
		x = (x ^ part) + 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return x
}

// The purposes of hashes, their first part, so that no two methods share their luck.
const (
	forToken = iota + 1
	forNode
	forZone
	forOffset
	forSkip
	forID
)

// straw is a node's or a zone's draw for one partition. The shortest straw wins, and whoever has twice the
// weight wins twice as often: log/weight is exponentially distributed with a rate in proportion to weight.
type straw struct {
	log    uint64 // of a uniform draw, to base 2, negated, in units of 2^-logBits
	weight uint64 // below 2^24
}

const logBits = 32

func drawStraw(weight uint64, parts ...uint64) straw { return straw{negLog2(hash(parts...)), weight} }

// shorter compares exactly, in integers: logs are below 2^39.
func (s straw) shorter(other straw) bool { return s.log*other.weight < other.log*s.weight }

// negLog2 returns the negated logarithm of u/2^64, in units of 2^-logBits, by repeated squaring.
func negLog2(u uint64) uint64 {
	u = max(u, 1)
	zeros := bits.LeadingZeros64(u)
	m := u << zeros // stands for m/2^63, from 1 to below 2
	fraction := uint64(0)
	for range logBits {
		square, _ := bits.Mul64(m, m)
		fraction <<= 1
		if square>>63 == 1 {
			fraction |= 1
			m = square
		} else {
			m = square << 1
		}
	}
	return uint64(zeros+1)<<logBits - fraction
}
