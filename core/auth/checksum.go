package auth

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/minio/crc64nvme"
)

// Algorithm is a checksum algorithm of S3. Zero is none. The numbers are stored: never change one.
type Algorithm uint8

// The algorithms.
const (
	NoAlgorithm Algorithm = 0
	CRC32       Algorithm = 1
	CRC32C      Algorithm = 2
	CRC64NVME   Algorithm = 3
	SHA1        Algorithm = 4
	SHA256      Algorithm = 5
)

// algorithms describes each Algorithm.
var algorithms = [...]struct {
	name      string
	header    string // canonical
	size      int    // bytes
	full      bool   // FULL_OBJECT is possible for multipart uploads
	composite bool   // so is COMPOSITE
}{
	CRC32:     {"CRC32", "X-Amz-Checksum-Crc32", 4, true, true},
	CRC32C:    {"CRC32C", "X-Amz-Checksum-Crc32c", 4, true, true},
	CRC64NVME: {"CRC64NVME", "X-Amz-Checksum-Crc64nvme", 8, true, false},
	SHA1:      {"SHA1", "X-Amz-Checksum-Sha1", 20, false, true},
	SHA256:    {"SHA256", "X-Amz-Checksum-Sha256", 32, false, true},
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// String returns the algorithm's S3 name, "" for none.
func (a Algorithm) String() string {
	if int(a) >= len(algorithms) {
		return ""
	}
	return algorithms[a].name
}

// Header returns the canonical name of the algorithm's header, "" for none.
func (a Algorithm) Header() string {
	if int(a) >= len(algorithms) {
		return ""
	}
	return algorithms[a].header
}

// Size returns the length of a checksum in bytes, 0 for none.
func (a Algorithm) Size() int {
	if int(a) >= len(algorithms) {
		return 0
	}
	return algorithms[a].size
}

// newHash returns the algorithm's hash; the Algorithm must be known and not none.
func (a Algorithm) newHash() hash.Hash {
	switch a {
	case CRC32:
		return crc32.NewIEEE()
	case CRC32C:
		return crc32.New(castagnoli)
	case CRC64NVME:
		return crc64nvme.New()
	case SHA1:
		return sha1.New()
	default:
		return sha256.New()
	}
}

// ParseAlgorithm parses the value of x-amz-checksum-algorithm or x-amz-sdk-checksum-algorithm, without
// case; "" is none.
//
// Errors: ErrUnknownAlgorithm.
func ParseAlgorithm(s string) (Algorithm, error) {
	if s == "" {
		return NoAlgorithm, nil
	}
	for a := CRC32; a <= SHA256; a++ {
		if strings.EqualFold(s, algorithms[a].name) {
			return a, nil
		}
	}
	return 0, refuseSum(ErrUnknownAlgorithm, "checksum algorithm",
		"give CRC32, CRC32C, CRC64NVME, SHA1 or SHA256")
}

// algorithmOfHeader finds the algorithm by the lower-case name of its header.
func algorithmOfHeader(lower string) (Algorithm, bool) {
	for a := CRC32; a <= SHA256; a++ {
		if strings.EqualFold(lower, algorithms[a].header) {
			return a, true
		}
	}
	return 0, false
}

// refuseSum returns an Error of a checksum.
func refuseSum(kind Kind, subject, hint string) *Error {
	return &Error{Op: "check digest", Kind: kind, Subject: subject, Hint: hint}
}

// ChecksumType is how the checksum of a multipart object is made of its parts. The numbers are stored.
type ChecksumType uint8

// The checksum types. Zero is unset; an object put in one request is FULL_OBJECT.
const (
	UnsetType  ChecksumType = 0
	FullObject ChecksumType = 1 // over the object's bytes
	Composite  ChecksumType = 2 // over the checksums of the parts
)

// String returns the type's S3 name, "" when unset.
func (t ChecksumType) String() string {
	return [...]string{"", "FULL_OBJECT", "COMPOSITE", ""}[t&3]
}

// ParseChecksumType parses the value of x-amz-checksum-type for an algorithm. "" gives S3's default:
// FULL_OBJECT for CRC64NVME, COMPOSITE for the others, unset for none.
//
// Errors: ErrUnknownAlgorithm for an unknown type, or one that the algorithm does not have.
func ParseChecksumType(s string, a Algorithm) (ChecksumType, error) {
	var t ChecksumType
	switch {
	case s == "" && a == NoAlgorithm:
		return UnsetType, nil
	case strings.EqualFold(s, "FULL_OBJECT"), s == "" && a == CRC64NVME:
		t = FullObject
	case strings.EqualFold(s, "COMPOSITE"), s == "":
		t = Composite
	}
	if int(a) < len(algorithms) {
		if of := algorithms[a]; t == FullObject && of.full || t == Composite && of.composite {
			return t, nil
		}
	}
	return 0, refuseSum(ErrUnknownAlgorithm, "checksum type",
		"CRC64NVME is FULL_OBJECT, SHA1 and SHA256 are COMPOSITE, CRC32 and CRC32C are either")
}

// Checksum is the value of one algorithm. It is comparable; zero is none.
type Checksum struct {
	Algorithm Algorithm
	// Value holds the checksum in its first Algorithm.Size() bytes, CRCs big-endian; the rest is zero.
	Value [32]byte
}

// Bytes returns the checksum's bytes.
func (c *Checksum) Bytes() []byte { return c.Value[:c.Algorithm.Size()] }

// String returns the value in base64, as headers carry it.
func (c Checksum) String() string { return base64.StdEncoding.EncodeToString(c.Bytes()) }

// ParseChecksum parses a value in base64.
//
// Errors: ErrMalformedChecksum when it is not the base64 of the algorithm's size.
func ParseChecksum(a Algorithm, s string) (Checksum, error) {
	c := Checksum{Algorithm: a}
	if !decodeBase64(c.Bytes(), s) {
		return Checksum{}, refuseSum(ErrMalformedChecksum, strings.ToLower(a.Header()),
			"give the base64 of "+strconv.Itoa(a.Size())+" bytes")
	}
	return c, nil
}

// decodeBase64 decodes exactly len(dst) > 0 bytes of strict base64.
func decodeBase64(dst []byte, s string) bool {
	if len(dst) == 0 || len(s) != base64.StdEncoding.EncodedLen(len(dst)) {
		return false
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	return err == nil && len(raw) == len(dst) && copy(dst, raw) == len(dst)
}

// HeaderChecksum returns the one x-amz-checksum-<algorithm> header of a request, zero when there is none.
//
// Errors: ErrMalformedChecksum for several or for a bad value, ErrUnknownAlgorithm for an algorithm not
// known.
func HeaderChecksum(header map[string][]string) (Checksum, error) {
	const prefix = "X-Amz-Checksum-"
	var sum Checksum
	count, unknown := 0, false
	for name := range header { //det:ok counts, and reads the one value only when the count is one
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		switch name[len(prefix):] {
		case "Algorithm", "Type", "Mode":
			continue
		}
		a, ok := algorithmOfHeader(name)
		if !ok {
			unknown = true
		}
		sum.Algorithm = a
		count += len(header[name])
	}
	switch {
	case unknown:
		return Checksum{}, refuseSum(ErrUnknownAlgorithm, "x-amz-checksum-*",
			"give CRC32, CRC32C, CRC64NVME, SHA1 or SHA256")
	case count == 0:
		return Checksum{}, nil
	case count > 1:
		return Checksum{}, refuseSum(ErrMalformedChecksum, "x-amz-checksum-*", "send one checksum header")
	}
	return ParseChecksum(sum.Algorithm, header[sum.Algorithm.Header()][0])
}
