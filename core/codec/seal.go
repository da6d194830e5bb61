package codec

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"granary/core/rt"
)

// Kind says what a stored value is. Each package registers its own, in a range of sixteen: 0x01 cluster and
// node, 0x10 layout, 0x20 table, 0x30 object, 0x40 block, 0x50 bucket, 0x60 register, 0x70 k2v, 0x80 job;
// tests use 0xf0 to 0xff. Zero is no kind. A code, once released, keeps its meaning.
type Kind uint8

const (
	headSize = 2 // kind, version
	sumSize  = crc32.Size
	// SealSize is what Seal adds to a value, in bytes.
	SealSize = headSize + sumSize
)

// kinds is filled by package variables before any task runs, and only read afterwards.
var kinds [256]struct {
	name   string
	newest uint8
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Register names a kind and the newest version of it that this program reads, at least 1, and returns it. It
// is for package variables: `var kindRow = codec.Register(0x30, 1, "object row")`.
// A code used twice, or a zero, panics with rt.Broken.
func Register(code Kind, newest uint8, name string) Kind {
	k := &kinds[code]
	if code == 0 || newest == 0 || name == "" || k.name != "" {
		rt.Break("codec: kind %#x %q version %d: zero, or taken by %q", uint8(code), name, newest, k.name)
	}
	k.name, k.newest = name, newest
	return code
}

// String returns the name that the kind was registered with.
func (k Kind) String() string {
	if name := kinds[k].name; name != "" {
		return name
	}
	return fmt.Sprintf("kind %#x", uint8(k))
}

// Newest returns the newest version that this program reads, zero for a kind that is not registered.
func (k Kind) Newest() uint8 { return kinds[k].newest }

// Seal returns v encoded for storage, as version of kind; see the package documentation for the form.
// A version that this program could not read itself panics with rt.Broken.
//
// Errors: as Marshal.
func Seal(kind Kind, version uint8, v any) ([]byte, error) {
	return AppendSeal(nil, kind, version, v)
}

// AppendSeal appends Seal's result to dst and returns the extended slice; on an error it returns dst.
func AppendSeal(dst []byte, kind Kind, version uint8, v any) ([]byte, error) {
	if version == 0 || version > kind.Newest() {
		rt.Break("codec: seal %v version %d, newest known is %d", kind, version, kind.Newest())
	}
	b := takeScratch()
	defer giveScratch(b)
	b.WriteByte(byte(kind))
	b.WriteByte(version)
	if err := encode(b, v); err != nil {
		return dst, err
	}
	sum := crc32.Checksum(b.Bytes(), castagnoli)
	if dst == nil {
		dst = make([]byte, 0, b.Len()+sumSize)
	}
	dst = append(dst, b.Bytes()...)
	return binary.BigEndian.AppendUint32(dst, sum), nil
}

// Open checks what Seal made and returns its version and payload. The payload is a part of data.
//
// Errors, in the order of the checks: ErrLimit, ErrCorrupt, ErrKind, ErrVersion.
func Open(data []byte, kind Kind) (version uint8, payload []byte, err error) {
	fail := func(is error, format string, args ...any) (uint8, []byte, error) {
		cause := fmt.Errorf(format, args...)
		return 0, nil, &Error{Op: "open", Subject: kind.String(), Kind: is, Cause: cause}
	}
	if len(data) > SizeMax {
		return fail(ErrLimit, "%d bytes, at most %d", len(data), SizeMax)
	}
	if len(data) <= SealSize {
		return fail(ErrCorrupt, "%d bytes, at least %d", len(data), SealSize+1)
	}
	body, want := data[:len(data)-sumSize], binary.BigEndian.Uint32(data[len(data)-sumSize:])
	if have := crc32.Checksum(body, castagnoli); have != want {
		return fail(ErrCorrupt, "%d bytes sum to %08x, stored sum is %08x", len(body), have, want)
	}
	if got := Kind(body[0]); got != kind {
		return fail(ErrKind, "stored as %v", got)
	}
	version = body[1]
	if version == 0 || version > kind.Newest() {
		_, _, err := fail(ErrVersion, "stored as version %d, newest known is %d", version, kind.Newest())
		err.(*Error).Hint = "start a granary at least as new as the one that wrote it"
		return version, nil, err
	}
	return version, body[headSize:], nil
}

// Load opens data and decodes its payload, for kinds all of whose versions decode into a T.
//
// Errors: those of Open, and ErrMalformed.
func Load[T any](data []byte, kind Kind) (T, error) {
	var v T
	_, payload, err := Open(data, kind)
	if err != nil {
		return v, err
	}
	if err := Unmarshal(payload, &v); err != nil {
		return *new(T), fmt.Errorf("%v: %w", kind, err)
	}
	return v, nil
}
