package codec

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	"granary/core/rt"
)

func mustSeal(t testing.TB, kind Kind, version uint8, v any) []byte {
	t.Helper()
	sealed, err := Seal(kind, version, v)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// resum gives data, changed by hand, a valid checksum.
func resum(data []byte) []byte {
	body := data[:len(data)-4]
	binary.BigEndian.PutUint32(data[len(body):], crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	return data
}

// TestOpenEveryBit flips each bit of a sealed row, and cuts it at each length: nothing is ever taken for
// data.
func TestOpenEveryBit(t *testing.T) {
	sealed := mustSeal(t, kindRow, 1, fullRow())
	for i := range len(sealed) * 8 {
		sealed[i/8] ^= 1 << (i % 8)
		if _, _, err := Open(sealed, kindRow); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("bit %d flipped: %v, want ErrCorrupt", i, err)
		}
		sealed[i/8] ^= 1 << (i % 8)
	}
	for n := range len(sealed) {
		if _, _, err := Open(sealed[:n], kindRow); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v, want ErrCorrupt", n, err)
		}
	}
	if version, _, err := Open(sealed, kindRow); err != nil || version != 1 {
		t.Fatalf("version %d, %v; want 1", version, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	newer := mustSeal(t, kindRow, 1, fullRow())
	newer[1] = 9
	zero := mustSeal(t, kindRow, 1, fullRow())
	zero[1] = 0
	noRow := mustSeal(t, kindRow, 1, "not a row")
	tests := []struct {
		name string
		data []byte
		want error
		text string
	}{
		{"newer", resum(newer), ErrVersion, "test row: unknown version: stored as version 9"},
		{"version zero", resum(zero), ErrVersion, "version 0"},
		{"other kind", mustSeal(t, kindOther, 1, fullRow()), ErrKind, "stored as other test row"},
		{"other payload", noRow, ErrMalformed, "test row"},
		{"oversize", make([]byte, SizeMax+1), ErrLimit, "at most"},
	}
	for _, tt := range tests {
		_, err := Load[row](tt.data, kindRow)
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v; want %v with %q", tt.name, err, tt.want, tt.text)
		}
	}
}

func TestBreaks(t *testing.T) {
	for name, f := range map[string]func(){
		"kind twice":           func() { Register(0xf0, 1, "again") },
		"kind zero":            func() { Register(0, 1, "zero") },
		"newest version zero":  func() { Register(0xff, 0, "none") },
		"seal newer than read": func() { _, _ = Seal(kindRow, 3, 1) },
		"seal version zero":    func() { _, _ = Seal(kindRow, 0, 1) },
		"seal unregistered":    func() { _, _ = Seal(0xfe, 1, 1) },
	} {
		func() {
			defer func() {
				if _, ok := recover().(rt.Broken); !ok {
					t.Errorf("%s: no rt.Broken", name)
				}
			}()
			f()
		}()
	}
}
