package layout

import "math/bits"

// splitmix is a generator of the same numbers everywhere (Steele, Lea and Flood, "Fast splittable
// pseudorandom number generators", 2014). The value is its seed and then its state.
type splitmix uint64

func (s *splitmix) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	x := uint64(*s)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below returns a number from 0 to n−1.
func (s *splitmix) below(n int) int {
	hi, _ := bits.Mul64(s.next(), uint64(n))
	return int(hi)
}

// shuffle permutes list (Fisher and Yates).
func (s *splitmix) shuffle(list []int) {
	for i := len(list) - 1; i > 0; i-- {
		j := s.below(i + 1)
		list[i], list[j] = list[j], list[i]
	}
}
