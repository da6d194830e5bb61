package object

import (
	"bytes"
	"encoding/hex"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"granary/core/block"
	"granary/core/codec"
	"granary/core/crdt/crdttest"
	"granary/core/goldentest"
	"granary/core/hlc"
)

func genID(t *rapid.T) VersionID { return VersionID{rapid.Byte().Draw(t, "id") % 4} }

// genVersion draws versions that often have the same head; what a head names never differs.
func genVersion(t *rapid.T) version {
	v := version{ID: genID(t), Stamp: hlc.Stamp(rapid.IntRange(0, 4).Draw(t, "stamp"))}
	if v.Stamp == 0 {
		return version{}
	}
	switch v.State = complete; (int(v.ID[0]) + int(v.Stamp)) % 3 {
	case 0:
		v.State = marker
	case 1:
		v.Inline, v.Size, v.ETag = true, int64(v.ID[0]), "e"
	default:
		v.Size, v.BlockSize, v.Blocks = 3, 2, bytes.Repeat(v.ID[:1], 2*hashLen)
		v.Headers = []Header{{"Content-Type", "text/plain"}}
		v.Parts = []part{{Number: 1, Owner: block.Owner{v.ID[0], 1}, Size: 3}}
	}
	return v
}

func genObject() *rapid.Generator[objectRow] {
	return rapid.Custom(func(t *rapid.T) objectRow {
		o := objectRow{Winner: genVersion(t)}
		var marks []uploading
		for range rapid.IntRange(0, 4).Draw(t, "marks") {
			marks = append(marks, uploading{genID(t), hlc.Stamp(rapid.IntRange(1, 5).Draw(t, "mark"))})
		}
		o.Uploads = o.joinUploads(marks, nil)
		return o
	})
}

func TestObjectLaws(t *testing.T) { crdttest.Laws(t, genObject()) }

// TestUploadsBounded: with more marks than are kept, the newest stay, whatever the order of joins.
func TestUploadsBounded(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) objectRow {
		var o objectRow
		for range rapid.IntRange(0, 2*uploadsMax).Draw(t, "n") {
			m := uploading{VersionID{1, rapid.Byte().Draw(t, "id")},
				hlc.Stamp(rapid.IntRange(1, 20).Draw(t, "stamp"))}
			o = o.Join(objectRow{Uploads: []uploading{m}})
		}
		return o
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := gen.Draw(t, "a"), gen.Draw(t, "b"), gen.Draw(t, "c")
		crdttest.Check(t, a, b, c)
		if n := len(a.Join(b).Uploads); n > uploadsMax {
			t.Fatalf("%d marks", n)
		}
	})
}

func TestGarbageLaws(t *testing.T) {
	crdttest.Laws(t, rapid.Custom(func(t *rapid.T) garbageRow {
		w := watch{uint64(rapid.IntRange(0, 2).Draw(t, "life")),
			time.Duration(rapid.IntRange(0, 2).Draw(t, "since")), rapid.Bool().Draw(t, "sealed")}
		return garbageRow{genVersion(t), hlc.Stamp(rapid.IntRange(0, 3).Draw(t, "mark")),
			rapid.Bool().Draw(t, "ended"), rapid.Bool().Draw(t, "loose"), w}
	}))
}

func TestPayloadLaws(t *testing.T) {
	crdttest.Laws(t, rapid.Custom(func(t *rapid.T) payloadRow { return payloadRow{genBytes(t)} }))
}

func TestListLaws(t *testing.T) {
	crdttest.Laws(t, rapid.Custom(func(t *rapid.T) listRow { return listRow{genBytes(t)} }))
}

func genBytes(t *rapid.T) []byte {
	if b := rapid.SliceOfN(rapid.ByteRange(0, 2), 0, 4).Draw(t, "bytes"); len(b) > 0 {
		return b
	}
	return nil
}

// genUpload draws rows of one upload: what was said at its creation is there or missing, and never differs.
func genUpload(t *rapid.T) uploadRow {
	var u uploadRow
	if rapid.Bool().Draw(t, "created") {
		u = uploadRow{Created: 5, Headers: []Header{{"a", "b"}}, Algo: "CRC32", Type: "COMPOSITE"}
	}
	u.State = uploadState(rapid.IntRange(0, 3).Draw(t, "state"))
	if u.State == uploadCompleted || u.State == uploadSpent && rapid.Bool().Draw(t, "done") {
		v := genVersion(t)
		u.Done, u.Try = &v, uint64(rapid.IntRange(1, 3).Draw(t, "try"))
	}
	return u
}

func TestUploadLaws(t *testing.T) { crdttest.Laws(t, rapid.Custom(genUpload)) }

func TestPartLaws(t *testing.T) {
	crdttest.Laws(t, rapid.Custom(func(t *rapid.T) uploadRow {
		if rapid.Bool().Draw(t, "zero") {
			return uploadRow{}
		}
		n := rapid.IntRange(1, 3).Draw(t, "stamp")
		return uploadRow{Part: &partRow{Stamp: hlc.Stamp(n), Size: int64(n), ETag: "e", BlockSize: 4}}
	}))
}

// TestProjectCommutes: a listing may project before it joins.
func TestProjectCommutes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genObject().Draw(t, "a"), genObject().Draw(t, "b")
		early, late := a.project().Join(b.project()), a.Join(b).project()
		x, err := codec.Marshal(early)
		y, err2 := codec.Marshal(late)
		if err != nil || err2 != nil || !bytes.Equal(x, y) {
			t.Fatalf("%+v\n%+v", early, late)
		}
	})
}

// TestGlance: a listing may project without decoding.
func TestGlance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		row := genObject().Draw(t, "row")
		raw, err := codec.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		want, err := codec.Marshal(row.project())
		if err != nil {
			t.Fatal(err)
		}
		got, live, err := glance([]byte("before"), raw)
		if err != nil || live != row.Winner.exists() || string(got) != "before"+string(want) {
			t.Fatalf("%+v: live %v, %v\n%x\n%x", row, live, err, got, want)
		}
	})
}

func goldenRows() map[string]any {
	v := version{ID: VersionID{1, 2}, Stamp: 1 << 40, State: complete, Size: 70_000, ETag: "d41d8c",
		Headers:   []Header{{"Content-Type", "text/plain"}, {"x-amz-meta-a", "b"}},
		Checksums: []Checksum{{"CRC32C", "AAAAAA==", "FULL_OBJECT"}}, BlockSize: 1 << 20,
		Blocks: bytes.Repeat([]byte{0xab}, hashLen)}
	multi := v
	multi.Blocks, multi.Multipart, multi.Upload = nil, true, bytes.Repeat([]byte{5}, 16)
	multi.Parts = []part{{1, block.Owner{9}, 50_000, 0}, {7, block.Owner{8}, 20_000, 4096}}
	return map[string]any{
		"object": objectRow{Winner: v, Uploads: []uploading{{VersionID{3}, 77}}},
		"object-inline": objectRow{Winner: version{ID: VersionID{6}, Stamp: 9, State: complete, Size: 3,
			Inline: true}},
		"object-marker":    objectRow{Winner: version{ID: VersionID{7}, Stamp: 10, State: marker}},
		"object-multipart": objectRow{Winner: multi},
		"garbage":          garbageRow{Version: multi, Watch: watch{7, time.Hour, true}},
		"garbage-mark":     garbageRow{Mark: 5},
		"garbage-upload":   garbageRow{Ended: true},
		"seal":             sealRow{},
		"grave":            graveRow{Emptied: true},
		"payload":          payloadRow{[]byte("abc")},
		"list":             listRow{bytes.Repeat([]byte{0xcd}, 2*hashLen)},
		"upload":           uploadRow{Created: 5, Headers: v.Headers, Algo: "CRC32", Type: "COMPOSITE"},
		"upload-completed": uploadRow{Created: 5, State: uploadCompleted, Done: &multi, Try: 11},
		"upload-aborted":   uploadRow{State: uploadAborted},
		"upload-spent":     uploadRow{State: uploadSpent},
		"upload-part": uploadRow{Part: &partRow{Stamp: 6, Size: 5 << 20, ETag: "e", Checksums: v.Checksums,
			BlockSize: 1 << 20}},
	}
}

// TestGolden pins the encoding of every row: stores and peers of every released version hold them.
func TestGolden(t *testing.T) {
	rows := goldenRows()
	var names []string
	for name := range rows {
		names = append(names, name)
	}
	sort.Strings(names)
	var all strings.Builder
	for _, name := range names {
		raw, err := codec.Marshal(rows[name])
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(name + "\n" + hex.Dump(raw))
	}
	goldentest.Check(t, filepath.Join("testdata", "rows.hex"), all.String())
}
