package codec

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// FuzzUnmarshal: no input panics, and what decodes encodes again to something that decodes to the same.
func FuzzUnmarshal(f *testing.F) {
	full, err := Marshal(fullRow())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	f.Add([]byte{0xa0})
	f.Add([]byte{0xa1, 5, 0x9b, 0, 0, 0, 1, 0, 0, 0, 0})
	f.Add([]byte{0xa2, 2, 5, 2, 6})
	f.Fuzz(func(t *testing.T, data []byte) {
		var r row
		if Unmarshal(data, &r) != nil {
			return
		}
		once, err := Marshal(r)
		if err != nil {
			t.Fatalf("decoded %x, cannot encode: %v", data, err)
		}
		var again row
		if err := Unmarshal(once, &again); err != nil {
			t.Fatalf("%x: %v", once, err)
		}
		if twice, err := Marshal(again); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("not a fixed point: %x, %x, %v", once, twice, err)
		}
	})
}

// FuzzOpen: no input panics; what opens was sealed, and seals again to the same bytes if its payload is
// canonical.
func FuzzOpen(f *testing.F) {
	f.Add(mustSeal(f, kindRow, 1, fullRow()), false)
	f.Add(mustSeal(f, kindRow, 2, row{}), true)
	f.Add(mustSeal(f, kindOther, 1, "x"), true)
	f.Add([]byte{0xf0, 1, 0xa0, 0, 0, 0, 0}, true)
	f.Fuzz(func(t *testing.T, data []byte, sum bool) {
		if sum && len(data) > SealSize {
			data = resum(bytes.Clone(data))
		}
		version, payload, err := Open(data, kindRow)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Subject != kindRow.String() {
				t.Fatalf("error without subject: %v", err)
			}
			return
		}
		var r row
		if Unmarshal(payload, &r) != nil {
			return
		}
		sealed, err := Seal(kindRow, version, r)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := Open(sealed, kindRow); err != nil {
			t.Fatalf("sealed %+v, then: %v", r, err)
		}
	})
}

// FuzzReadable: the check before writing agrees with the reader about text, depth and counts, on all
// well-formed input of definite lengths without tags.
func FuzzReadable(f *testing.F) {
	full, err := Marshal(fullRow())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	f.Add(bytes.Repeat([]byte{0x81}, DepthMax+3))
	f.Add(append(bytes.Repeat([]byte{0x81}, DepthMax), 0))
	f.Add(append(bytes.Repeat([]byte{0x81}, DepthMax+1), 0))
	f.Add([]byte{0x83, 0x80, 0x81, 0xa0, 0x61, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		loose := must(looseOptions.DecMode())
		if loose.Wellformed(data) != nil {
			return
		}
		var v any
		err := decMode.Unmarshal(data, &v)
		if err != nil && decMode.Wellformed(data) == nil && !isTextError(err) {
			return // duplicate or unhashable keys, which an encoder cannot make
		}
		if got := readable(data); (got == nil) != (err == nil) {
			t.Fatalf("%x: readable says %v, the reader %v", data, got, err)
		}
	})
}

// looseOptions accept what an encoder could make, without the limits.
var looseOptions = cbor.DecOptions{
	IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden, MaxNestedLevels: 1000,
	UTF8: cbor.UTF8DecodeInvalid,
}

func isTextError(err error) bool {
	return strings.Contains(err.Error(), "UTF-8")
}
