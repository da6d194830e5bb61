package codec

import (
	"bytes"
	"fmt"
	"sync/atomic"

	"github.com/fxamacker/cbor/v2"
)

// Limits of one encoded value.
const (
	// SizeMax is the longest encoding, in bytes, seal included.
	SizeMax = 16 << 20
	// DepthMax is how deep arrays and maps may nest.
	DepthMax = 16
	// ArrayMax is the most elements of one array.
	ArrayMax = 1 << 17
	// MapMax is the most pairs of one map, and the most fields of one struct.
	MapMax = 1 << 17
)

var (
	encMode = must(cbor.EncOptions{
		Sort:            cbor.SortCoreDeterministic,
		ShortestFloat:   cbor.ShortestFloat16,
		NaNConvert:      cbor.NaNConvert7e00,
		InfConvert:      cbor.InfConvertFloat16,
		IndefLength:     cbor.IndefLengthForbidden,
		TagsMd:          cbor.TagsForbidden,
		BinaryMarshaler: cbor.BinaryMarshalerNone,
	}.UserBufferEncMode())

	decMode = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   DepthMax,
		MaxArrayElements:  ArrayMax,
		MaxMapPairs:       MapMax,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		BinaryUnmarshaler: cbor.BinaryUnmarshalerNone,
	}.DecMode())
)

// must unwraps the options above, which are constant.
func must[M any](m M, err error) M {
	if err != nil {
		panic(err)
	}
	return m
}

// scratch keeps one buffer between calls, so that encoding allocates the result alone. Concurrent callers
// that find it empty make their own.
var scratch atomic.Pointer[bytes.Buffer]

// scratchMax is the largest buffer worth keeping, in bytes.
const scratchMax = 256 << 10

func takeScratch() *bytes.Buffer {
	if b := scratch.Swap(nil); b != nil {
		b.Reset()
		return b
	}
	return new(bytes.Buffer)
}

func giveScratch(b *bytes.Buffer) {
	if b.Cap() <= scratchMax {
		scratch.Store(b)
	}
}

// Marshal returns the encoding of v.
//
// Determinism: equal values have equal encodings; a nil slice differs from an empty one.
// Errors: ErrText for a string that is not UTF-8, ErrLimit, ErrType for a Go type that has no encoding.
func Marshal(v any) ([]byte, error) {
	b := takeScratch()
	defer giveScratch(b)
	if err := encode(b, v); err != nil {
		return nil, err
	}
	return bytes.Clone(b.Bytes()), nil
}

// Append appends the encoding of v to dst and returns the extended slice; on an error it returns dst.
//
// Errors: as Marshal.
func Append(dst []byte, v any) ([]byte, error) {
	b := takeScratch()
	defer giveScratch(b)
	if err := encode(b, v); err != nil {
		return dst, err
	}
	return append(dst, b.Bytes()...), nil
}

// encode appends v to b, and checks that decoding would accept it.
func encode(b *bytes.Buffer, v any) error {
	start := b.Len()
	if err := encMode.MarshalToBuffer(v, b); err != nil {
		return &Error{Op: "encode", Subject: typeName(v), Kind: ErrType, Cause: err}
	}
	if err := readable(b.Bytes()[start:]); err != nil {
		return &Error{Op: "encode", Subject: typeName(v), Kind: err.kind, Cause: err}
	}
	return nil
}

// Unmarshal decodes data into v, a non-nil pointer to a zero value. It keeps no reference to data.
//
// Errors: ErrMalformed, ErrLimit; *v may be partly filled then.
func Unmarshal(data []byte, v any) error {
	if len(data) > SizeMax {
		cause := fmt.Errorf("%d bytes, at most %d", len(data), SizeMax)
		return &Error{Op: "decode", Subject: typeName(v), Kind: ErrLimit, Cause: cause}
	}
	if err := decMode.Unmarshal(data, v); err != nil {
		return &Error{Op: "decode", Subject: typeName(v), Kind: ErrMalformed, Cause: err}
	}
	return nil
}

func typeName(v any) string { return fmt.Sprintf("%T", v) }
