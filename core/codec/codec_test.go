package codec

import (
	"bytes"
	"encoding/hex"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"granary/core/goldentest"
)

var (
	kindRow   = Register(0xf0, 2, "test row")
	kindOther = Register(0xf1, 1, "other test row")
)

type inner struct {
	Name string            `cbor:"1,keyasint"`
	Tags map[string]uint64 `cbor:"2,keyasint,omitempty"`
}

type row struct {
	ID    [4]byte  `cbor:"1,keyasint"`
	Stamp uint64   `cbor:"2,keyasint"`
	Key   string   `cbor:"3,keyasint"`
	Data  []byte   `cbor:"4,keyasint,omitempty"`
	Subs  []inner  `cbor:"5,keyasint,omitempty"`
	Delta int64    `cbor:"6,keyasint,omitempty"`
	Gone  bool     `cbor:"7,keyasint,omitempty"`
	Opt   *uint64  `cbor:"8,keyasint,omitempty"`
	Words []string `cbor:"40,keyasint,omitempty"`
}

func fullRow() row {
	seven := uint64(7)
	return row{
		ID: [4]byte{0xde, 0xad, 0xbe, 0xef}, Stamp: 1 << 40, Key: "photos/été.jpg",
		Data: []byte{0, 255, 0xc3}, Delta: -5, Gone: true,
		Subs: []inner{{Name: "a", Tags: map[string]uint64{"zz": 1, "b": 2, "aa": 3}}, {Name: "b"}},
		Opt:  &seven, Words: []string{"x", ""},
	}
}

func genRow() *rapid.Generator[row] {
	return rapid.Custom(func(t *rapid.T) row {
		r := row{
			Stamp: rapid.Uint64().Draw(t, "stamp"), Key: rapid.String().Draw(t, "key"),
			Delta: rapid.Int64().Draw(t, "delta"), Gone: rapid.Bool().Draw(t, "gone"),
		}
		copy(r.ID[:], rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "id"))
		if b := rapid.SliceOf(rapid.Byte()).Draw(t, "data"); len(b) > 0 {
			r.Data = b
		}
		for _, name := range rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "subs") {
			r.Subs = append(r.Subs, inner{Name: name})
		}
		return r
	})
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genRow().Draw(t, "row")
		wire, err := Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got row
		if err := Unmarshal(wire, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("wire (-want +got):\n%s", diff)
		}
		prefix := []byte("prefix")
		appended, err := Append(prefix, want)
		if err != nil || !bytes.Equal(appended, append(prefix, wire...)) {
			t.Fatalf("Append = %x, %v; want prefix and %x", appended, err, wire)
		}
		sealed, err := Seal(kindRow, 2, want)
		if err != nil {
			t.Fatal(err)
		}
		got, err = Load[row](sealed, kindRow)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("storage (-want +got):\n%s", diff)
		}
	})
}

// TestGolden pins the bytes: stores and peers of every released version hold them.
func TestGolden(t *testing.T) {
	full := fullRow()
	for name, v := range map[string]any{"row-full": full, "row-zero": row{}, "row-pointer": &full} {
		sealed, err := Seal(kindRow, 1, v)
		if err != nil {
			t.Fatal(err)
		}
		got := hex.Dump(sealed)
		path := filepath.Join("testdata", strings.TrimSuffix(name, "-pointer")+".hex")
		if name == "row-pointer" {
			path = filepath.Join("testdata", "row-full.hex")
		}
		goldentest.Check(t, path, got)
	}
}

// TestCanonical compares with hand-written CBOR: shortest forms, sorted keys, arrays of bytes as byte
// strings.
func TestCanonical(t *testing.T) {
	tests := []struct {
		v    any
		want string
	}{
		{uint64(23), "17"},
		{uint64(24), "1818"},
		{uint64(65536), "1a00010000"},
		{int64(-1), "20"},
		{[3]byte{1, 2, 3}, "43010203"},
		{"é", "62c3a9"},
		{map[string]uint64{"bb": 1, "a": 2, "c": 3}, "a361610261630362626201"},
		{inner{Name: "n"}, "a101616e"},
	}
	for _, tt := range tests {
		got, err := Marshal(tt.v)
		if err != nil || hex.EncodeToString(got) != tt.want {
			t.Errorf("Marshal(%#v) = %x, %v; want %s", tt.v, got, err, tt.want)
		}
	}
}

func TestForwardCompatible(t *testing.T) {
	type newRow struct {
		Stamp uint64            `cbor:"2,keyasint"`
		New   map[string][]byte `cbor:"99,keyasint"`
	}
	wire, err := Marshal(newRow{Stamp: 5, New: map[string][]byte{"x": {1}}})
	if err != nil {
		t.Fatal(err)
	}
	var old row
	if err := Unmarshal(wire, &old); err != nil || old.Stamp != 5 {
		t.Fatalf("stamp %d, %v; want 5", old.Stamp, err)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	tests := []struct{ name, hex string }{
		{"empty", ""},
		{"truncated", "a102"},
		{"trailing byte", "a10205ff"},
		{"duplicate key", "a202050206"},
		{"indefinite map", "bf0205ff"},
		{"indefinite text", "a1037f6161ff"},
		{"tag", "a102c105"},
		{"invalid text", "a10361ff"},
		{"wrong type", "a1026161"},
		{"too large for the field", "a106" + "1bffffffffffffffff"},
		{"too deep", "a118c8" + strings.Repeat("81", DepthMax) + "00"},
		{"array that lies about its length", "a105" + "9b0000000100000000"},
		{"array over the limit", "a105" + "9a00020001"},
		{"byte string that lies about its length", "a104" + "5b7fffffffffffffff"},
	}
	for _, tt := range tests {
		data, err := hex.DecodeString(tt.hex)
		if err != nil {
			t.Fatal(err)
		}
		var r row
		if err := Unmarshal(data, &r); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", tt.name, err)
		}
	}
	var r row
	if err := Unmarshal(make([]byte, SizeMax+1), &r); !errors.Is(err, ErrLimit) {
		t.Errorf("oversize: %v, want ErrLimit", err)
	}
}

// TestMarshalRefuses: what could not be read back is not written.
func TestMarshalRefuses(t *testing.T) {
	deep := any(uint64(0))
	for range DepthMax {
		deep = []any{deep}
	}
	if _, err := Marshal(deep); err != nil {
		t.Errorf("nested %d: %v", DepthMax, err)
	}
	tests := []struct {
		name string
		v    any
		want error
	}{
		{"text", row{Key: "\xff"}, ErrText},
		{"text inside", row{Subs: []inner{{}, {Name: "ok\xc3"}}}, ErrText},
		{"text as key", map[string]uint64{"\xff": 1}, ErrText},
		{"too deep", []any{deep}, ErrLimit},
		{"long array", make([]bool, ArrayMax+1), ErrLimit},
		{"too long", make([]byte, SizeMax), ErrLimit},
		{"function", func() {}, ErrType},
		{"channel inside", struct{ C chan int }{}, ErrType},
	}
	for _, tt := range tests {
		if got, err := Marshal(tt.v); !errors.Is(err, tt.want) {
			t.Errorf("%s: %d bytes, %v; want %v", tt.name, len(got), err, tt.want)
		}
		dst := []byte{1, 2}
		if got, err := AppendSeal(dst, kindRow, 1, tt.v); !errors.Is(err, tt.want) || !bytes.Equal(got, dst) {
			t.Errorf("%s: AppendSeal left %d bytes, %v; want dst and %v", tt.name, len(got), err, tt.want)
		}
	}
}

func TestEncodeAllocs(t *testing.T) {
	r := fullRow()
	r.Subs[0].Tags = nil
	buf := make([]byte, 0, 1024)
	for name, f := range map[string]func(){
		"Marshal": func() { _, _ = Marshal(&r) },
		"Seal":    func() { _, _ = Seal(kindRow, 1, &r) },
		"Append":  func() { _, _ = Append(buf, &r) },
		"Open":    func() { _, _, _ = Open(buf, kindRow) },
	} {
		limit := 1.0
		if name == "Open" {
			var err error
			if buf, err = Seal(kindRow, 1, &r); err != nil {
				t.Fatal(err)
			}
		}
		if got := testing.AllocsPerRun(200, f); got > limit {
			t.Errorf("%s: %v allocations, want at most %v", name, got, limit)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	r := fullRow()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = Seal(kindRow, 1, &r)
	}
}

func BenchmarkLoad(b *testing.B) {
	sealed, _ := Seal(kindRow, 1, fullRow())
	b.ReportAllocs()
	for b.Loop() {
		_, _ = Load[row](sealed, kindRow)
	}
}
