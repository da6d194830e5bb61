package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"granary/core/codec"
)

func TestResumeIsStrict(t *testing.T) {
	for _, r := range []Resume{{}, AfterKey(nil), AfterKey([]byte("k")), AfterPrefix([]byte("p/"))} {
		back, err := ParseResume(r.Encode())
		if err != nil || back.kind != r.kind || !bytes.Equal(back.key, r.key) || back.IsZero() != r.IsZero() {
			t.Errorf("%+v came back as %+v, %v", r, back, err)
		}
	}
	if got := AfterPrefix([]byte("p/")).Encode(); !bytes.Equal(got, []byte("\x01\x02p/")) {
		t.Errorf("golden: %x", got)
	}
	long := "\x01\x01" + string(make([]byte, 5000))
	for _, bad := range []string{"\x00", "\x01", "\x02\x01k", "\x01\x00", "\x01\x03k", "\x01\x02", long} {
		if _, err := ParseResume([]byte(bad)); !errors.Is(err, ErrBadResume) {
			t.Errorf("%.20q: %v, want ErrBadResume", bad, err)
		}
	}
}

func FuzzParseResume(f *testing.F) {
	for _, r := range []Resume{{}, AfterKey([]byte("k")), AfterPrefix([]byte("\xff\xff"))} {
		f.Add(r.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseResume(b)
		if err == nil && !bytes.Equal(r.Encode(), b) {
			t.Fatalf("%x read as %+v, written as %x", b, r, r.Encode())
		}
		if start, ok := r.start(); ok && err == nil && bytes.Compare(start, r.key) < 0 {
			t.Fatalf("%+v starts at %x", r, start)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte{}, 0)
	f.Add(pack(pack(nil, nil, []byte("row"), true), []byte("b"), nil, false), 2)
	f.Add([]byte{1, 'a', 0xff}, 1)
	f.Fuzz(func(t *testing.T, b []byte, count int) {
		rows, err := unpack(b, count)
		if err != nil {
			return
		}
		var again []byte
		for _, r := range rows {
			again = pack(again, r.sort, r.row, r.live)
		}
		back, err := unpack(again, count)
		if err != nil || fmt.Sprint(back) != fmt.Sprint(rows) {
			t.Fatalf("%v came back as %v, %v", rows, back, err)
		}
	})
}

// A row that fails its checksum is an error, never an absent row.
func TestDamagedRowFailsThePage(t *testing.T) {
	tab := &Table[mark]{def: markDef()}
	h := marks{"a": {Stamp: 1}, "b": {Stamp: 1}}.store(t, tab)
	h.values[1][5] ^= 1
	asks := []pageAsk{{Live: 10, Dead: 10}}
	req := &pageRequest{PK: markPK, Asks: asks}
	_, err := answerPage(context.Background(), h.View, tab, req, pageLimits{1000, 1000})
	if !errors.Is(err, codec.ErrCorrupt) {
		t.Fatalf("%v, want ErrCorrupt", err)
	}
}

// An answer that could not have come of its question is refused whole.
func TestAnswersAreChecked(t *testing.T) {
	ask := []pageAsk{{Start: []byte("b"), End: []byte("d")}}
	row := func(sorts ...string) (a pageAnswer) {
		for _, s := range sorts {
			a.Rows = pack(a.Rows, []byte(s), []byte("v"), true)
			a.Count++
		}
		a.End = []byte("c")
		return a
	}
	for name, answers := range map[string][]pageAnswer{
		"none":            {},
		"two":             {row("b"), row("b")},
		"below the range": {row("a")},
		"above the range": {row("d")},
		"behind its end":  {row("b", "cc")},
		"not ascending":   {row("c", "b")},
		"nothing done":    {{}},
		"end outside":     {{End: []byte("e")}},
		"count":           {{Count: 2, Rows: row("b").Rows, Whole: true}},
		"rest":            {{Rows: row("b").Rows, Whole: true}},
		"huge count":      {{Count: 1 << 60, Whole: true}},
	} {
		if _, err := (&pageResponse{Answers: answers}).open(ask); !errors.Is(err, ErrMalformedRow) {
			t.Errorf("%s: %v, want ErrMalformedRow", name, err)
		}
	}
	if _, err := (&pageResponse{Answers: []pageAnswer{row("b", "c")}}).open(ask); err != nil {
		t.Error(err)
	}
}

// A message stays small whatever was asked for, and a row that is longer than the limit still goes.
func TestPageBytesAreBounded(t *testing.T) {
	def := markDef()
	def.Project = nil
	tab := &Table[mark]{def: def}
	m := marks{}
	for i := range 100 {
		m[fmt.Sprintf("%03d", i)] = mark{Stamp: 1, Pad: make([]byte, 1000)}
	}
	m["000"] = mark{Stamp: 1, Pad: make([]byte, 50_000)}
	h := m.store(t, tab)
	asks := make([]pageAsk, 20)
	for i := range asks {
		asks[i] = pageAsk{Live: 1000, Dead: 1000}
	}
	const limit = 40_000
	for n, first := range map[int]bool{1: true, 20: false} {
		req := &pageRequest{PK: markPK, Asks: slices.Clone(asks[:n])}
		if !first {
			for i := range req.Asks {
				req.Asks[i].Start = []byte("001")
			}
		}
		resp, err := answerPage(context.Background(), h.View, tab, req, pageLimits{limit, 10})
		if err != nil {
			t.Fatal(err)
		}
		size, rows := 0, 0
		for _, a := range resp.Answers {
			size, rows = size+len(a.Rows), rows+a.Count
		}
		if first && rows != 1 || !first && (size > limit || rows < 20) {
			t.Errorf("%d ranges: %d rows of %d bytes", n, rows, size)
		}
	}
}

// Pick gives what decoding, clearing and encoding give.
func TestPickIsItsSlowTwin(t *testing.T) {
	def := objectDef()
	for seed := range uint64(2_000) {
		r := rand.New(rand.NewPCG(seed, 4))
		o := object{Winner: winner{Stamp: r.Uint64() >> r.IntN(64), State: uint8(r.IntN(3))}}
		o.Winner.Size = r.Int64() >> r.IntN(63)
		o.Winner.ETag = string(bytes.Repeat([]byte("e"), r.IntN(40)))
		o.Winner.Blocks = make([]byte, r.IntN(70_000)>>r.IntN(17))
		for range r.IntN(4) {
			o.Winner.Headers = append(o.Winner.Headers, [2]string{"name", "value"})
			o.Marks = append(o.Marks, [16]byte{1})
		}
		row, err := codec.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		want, err := codec.Marshal(def.Project(o))
		if err != nil {
			t.Fatal(err)
		}
		got, live, err := glance([]byte("dst"), row)
		if err != nil || !bytes.Equal(got, append([]byte("dst"), want...)) || live != def.Live(o) {
			t.Fatalf("seed %d: %x live %v, %v; want %x", seed, got, live, err, want)
		}
		if PickUint(row, 1, 2) != o.Winner.Stamp || PickUint(row, 1, 9) != 0 || PickUint(row, 1, 1) != 0 {
			t.Fatalf("seed %d: fields", seed)
		}
	}
}

func FuzzPick(f *testing.F) {
	full := object{Winner: winner{State: 1, Headers: [][2]string{{"a", "b"}}}, Marks: [][16]byte{{1}}}
	for _, o := range []object{{}, full} {
		row, err := codec.Marshal(o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(row)
	}
	f.Add([]byte{0xa1, 0x01, 0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		PickUint(b, 1, 3)
		rowOf(b)
		if out, err := Pick(nil, b, listedFields); err == nil && len(out) > len(b) {
			t.Fatalf("%x grew to %x", b, out)
		}
	})
}

// rowOf agrees with the decoder on every form of a record.
func TestRowOf(t *testing.T) {
	for _, n := range []int{0, 1, 23, 24, 255, 256, 65_535, 65_536, 200_000} {
		both := record{Votes: make([]headVote, 32), Forgot: 1 << 60}
		for _, rec := range []record{{}, {Votes: []headVote{{Stamp: 5}}}, {Forgot: 9}, both} {
			rec.Row = bytes.Repeat([]byte{7}, n)
			b, err := codec.Marshal(rec)
			if err != nil {
				t.Fatal(err)
			}
			if row, ok := rowOf(b); !ok || !bytes.Equal(row, rec.Row) {
				t.Errorf("row of %d bytes: %d, %v", n, len(row), ok)
			}
		}
	}
}
