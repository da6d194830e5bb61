package auth

import (
	"encoding/binary"
	"strconv"
)

// crcField is the ring of polynomials over GF(2) modulo the polynomial of a reflected CRC. Bit width-1 of a
// value is the coefficient of x^0, as in the CRC registers themselves.
type crcField struct {
	width uint
	poly  uint64
}

// crcFields are the rings of the CRCs.
var crcFields = [...]crcField{
	CRC32:     {32, 0xedb88320},
	CRC32C:    {32, 0x82f63b78},
	CRC64NVME: {64, 0x9a6c9329ac4bc9b5},
}

// times multiplies two polynomials.
func (f crcField) times(a, b uint64) uint64 {
	var product uint64
	for bit := uint64(1) << (f.width - 1); bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		carry := b & 1
		b >>= 1
		if carry != 0 {
			b ^= f.poly
		}
	}
	return product
}

// shift returns x^(8·n), which moves a CRC over n bytes.
func (f crcField) shift(n uint64) uint64 {
	power := uint64(1) << (f.width - 1) // x^0
	for square := power >> 8; n > 0; n >>= 1 {
		if n&1 != 0 {
			power = f.times(power, square)
		}
		square = f.times(square, square)
	}
	return power
}

// Combine returns the checksum of a followed by b, where b has lengthB bytes. Both must be of the same CRC.
//
// Errors: ErrUnknownAlgorithm for other algorithms, whose checksums do not combine.
// Cost: about 2·log2(lengthB) multiplications of 32 or 64 steps.
// Source: the linearity of CRCs over GF(2); their initial and final inversions cancel out.
func Combine(a, b Checksum, lengthB int64) (Checksum, error) {
	if a.Algorithm != b.Algorithm || a.Algorithm < CRC32 || a.Algorithm > CRC64NVME || lengthB < 0 {
		return Checksum{}, refuseSum(ErrUnknownAlgorithm, "combine", "CRCs of one kind combine, nothing else")
	}
	f := crcFields[a.Algorithm]
	out := Checksum{Algorithm: a.Algorithm}
	if f.width == 32 {
		left := uint64(binary.BigEndian.Uint32(a.Value[:]))
		sum := f.times(f.shift(uint64(lengthB)), left) ^ uint64(binary.BigEndian.Uint32(b.Value[:]))
		binary.BigEndian.PutUint32(out.Value[:], uint32(sum))
		return out, nil
	}
	left := binary.BigEndian.Uint64(a.Value[:])
	sum := f.times(f.shift(uint64(lengthB)), left) ^ binary.BigEndian.Uint64(b.Value[:])
	binary.BigEndian.PutUint64(out.Value[:], sum)
	return out, nil
}

// PartSum is what the checksum of a multipart object needs of one part.
type PartSum struct {
	Checksum Checksum
	Size     int64 // bytes
}

// FullObjectSum returns the checksum over all bytes of an object from those of its parts, in order.
//
// Errors: ErrUnknownAlgorithm when there is no part or the parts are not all of one CRC.
func FullObjectSum(parts []PartSum) (Checksum, error) {
	if len(parts) == 0 {
		return Checksum{}, refuseSum(ErrUnknownAlgorithm, "full object checksum", "there is no part")
	}
	sum := parts[0].Checksum
	if sum.Algorithm < CRC32 || sum.Algorithm > CRC64NVME {
		return Checksum{}, refuseSum(ErrUnknownAlgorithm, "full object checksum", "only CRCs have one")
	}
	for _, p := range parts[1:] {
		var err error
		if sum, err = Combine(sum, p.Checksum, p.Size); err != nil {
			return Checksum{}, err
		}
	}
	return sum, nil
}

// CompositeSum returns the checksum over the checksums of an object's parts, in order, and the text that S3
// shows for it: the base64 with "-" and the number of parts.
//
// Errors: ErrUnknownAlgorithm when there is no part or the parts are not all of one algorithm.
func CompositeSum(parts []Checksum) (Checksum, string, error) {
	if len(parts) == 0 || parts[0].Algorithm.Size() == 0 {
		return Checksum{}, "", refuseSum(ErrUnknownAlgorithm, "composite checksum", "parts need checksums")
	}
	h := parts[0].Algorithm.newHash()
	for i := range parts {
		if parts[i].Algorithm != parts[0].Algorithm {
			return Checksum{}, "", refuseSum(ErrUnknownAlgorithm, "composite checksum",
				"parts differ in algorithm")
		}
		h.Write(parts[i].Bytes())
	}
	sum := Checksum{Algorithm: parts[0].Algorithm}
	h.Sum(sum.Value[:0])
	return sum, sum.String() + "-" + strconv.Itoa(len(parts)), nil
}
