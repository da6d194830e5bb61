package table

import (
	"context"
	"fmt"
	"testing"

	"granary/core/codec"
)

// object resembles an object's row: what a listing shows of it, and what it does not.
type object struct {
	Winner winner     `cbor:"1,keyasint"`
	Marks  [][16]byte `cbor:"2,keyasint,omitempty"`
}

type winner struct {
	ID      [16]byte    `cbor:"1,keyasint"`
	Stamp   uint64      `cbor:"2,keyasint"`
	State   uint8       `cbor:"3,keyasint"`
	Size    int64       `cbor:"4,keyasint,omitempty"`
	ETag    string      `cbor:"5,keyasint,omitempty"`
	Headers [][2]string `cbor:"6,keyasint,omitempty"`
	Blocks  []byte      `cbor:"10,keyasint,omitempty"`
}

// listedFields are those that a listing shows.
var listedFields = []Field{{1, []Field{{1, nil}, {2, nil}, {3, nil}, {4, nil}, {5, nil}}}}

var kindTestObject = codec.Register(0xf2, 1, "test object")

func objectDef() Def[object] {
	return Def[object]{ID: 201, Name: "test object", Kind: kindTestObject, Version: 1, PKLen: 1,
		Join: func(a, b object) object {
			if a.Winner.Stamp < b.Winner.Stamp {
				return b
			}
			return a
		},
		Live: func(o object) bool { return o.Winner.State == 1 },
		Project: func(o object) object {
			o.Winner.Headers, o.Winner.Blocks, o.Marks = nil, nil, nil
			return o
		}}
}

func glance(dst, row []byte) ([]byte, bool, error) {
	dst, err := Pick(dst, row, listedFields)
	return dst, PickUint(row, 1, 3) == 1, err
}

func objectStore(b testing.TB, n int) *heap {
	h := &heap{}
	prefix := newReader(nil, markPK).prefix
	for i := range n {
		o := object{Winner: winner{Stamp: uint64(i) << 30, State: 1, Size: 12345678,
			ETag:    fmt.Sprintf("%032x", i),
			Headers: [][2]string{{"Content-Type", "image/jpeg"}, {"x-amz-meta-origin", "camera 7"}},
			Blocks:  make([]byte, 12*32)}}
		row, err := codec.Marshal(o)
		if err != nil {
			b.Fatal(err)
		}
		stored, err := codec.Seal(kindTestObject, 1, record{Row: row})
		if err != nil {
			b.Fatal(err)
		}
		sort := fmt.Appendf(nil, "photos/2025/11/IMG_%08d.jpeg", i)
		h.keys = append(h.keys, appendLocal(nil, prefix, 201, Address{markPK, sort}))
		h.values = append(h.values, stored)
	}
	return h
}

// A full page of one replica: its scan, and the merge and decoding of two equal answers.
func BenchmarkPage(b *testing.B) {
	h := objectStore(b, 5_000)
	ctx := context.Background()
	for _, kind := range []string{"decode", "glance"} {
		def := objectDef()
		if kind == "glance" {
			def.Glance = glance
		}
		tab := &Table[object]{def: def}
		l := newListing(tab, ListRequest{Delimiter: []byte("\x00")}, false)
		asks := l.asks()
		req := &pageRequest{Table: 201, PK: markPK, Asks: asks}
		limits := pageLimits{pageBytesMax, pageViewMax}
		resp, err := answerPage(ctx, h.View, tab, req, limits)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("scan/"+kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := answerPage(ctx, h.View, tab, req, limits); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(resp.Answers[0].Rows)), "wire-bytes")
		})
		if kind == "decode" {
			continue
		}
		b.Run("merge", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l := newListing(tab, ListRequest{Delimiter: []byte("\x00")}, false)
				l.asks()
				var answers [][]answer
				for range 2 {
					got, err := resp.open(asks)
					if err != nil {
						b.Fatal(err)
					}
					answers = append(answers, got)
				}
				if err := l.take(answers); err != nil {
					b.Fatal(err)
				}
				page, err := pageOf(tab, l)
				if err != nil || len(page.Items) != ListMax {
					b.Fatal(len(page.Items), err)
				}
			}
		})
	}
}

// A page of 1,000 prefixes, each of five rows.
func BenchmarkFoldedPage(b *testing.B) {
	tab := &Table[mark]{def: markDef()}
	m := marks{}
	for i := range 6_000 {
		m[fmt.Sprintf("dir%05d/file%d", i/5, i%5)] = mark{Stamp: 1}
	}
	h := m.store(b, tab)
	req := &pageRequest{Table: 200, PK: markPK}
	b.ReportAllocs()
	for b.Loop() {
		l := newListing(tab, ListRequest{Delimiter: []byte("/")}, false)
		req.Asks = l.asks()
		resp, err := answerPage(context.Background(), h.View, tab, req, pageLimits{pageBytesMax, pageViewMax})
		if err != nil {
			b.Fatal(err)
		}
		one, err := resp.open(req.Asks)
		if err != nil {
			b.Fatal(err)
		}
		if err := l.take([][]answer{one, one}); err != nil || len(l.items) != ListMax {
			b.Fatal(len(l.items), err)
		}
	}
}
