package object

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"granary/core/block"
	"granary/core/hlc"
)

// genLayout draws a version with content in blocks.
func genLayout(t *rapid.T) version {
	v := version{ID: VersionID{1}, State: complete, BlockSize: int64(rapid.IntRange(1, 7).Draw(t, "block"))}
	if !rapid.Bool().Draw(t, "multipart") {
		v.Size = int64(rapid.IntRange(0, 40).Draw(t, "size"))
		return v
	}
	v.Multipart = true
	for i := range rapid.IntRange(1, 5).Draw(t, "parts") {
		p := part{Number: 2*i + 1, Owner: block.Owner{byte(i + 1)},
			Size: int64(rapid.IntRange(0, 20).Draw(t, "part"))}
		if rapid.Bool().Draw(t, "other") {
			p.BlockSize = 3
		}
		v.Parts, v.Size = append(v.Parts, p), v.Size+p.Size
	}
	return v
}

// slowPlaces lists every byte's place by walking through the parts byte by byte.
func slowPlaces(v version) (all []place) {
	for _, p := range v.parts() {
		size := v.blockSize(p)
		at := place{owner: p.Owner, size: size, left: p.Size}
		for range p.Size {
			all = append(all, at)
			at.left--
			if at.within++; at.within == size {
				at.block, at.within = at.block+1, 0
			}
		}
	}
	return all
}

// TestLocate compares locate, begin and partRange with a walk over every byte.
func TestLocate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := genLayout(t)
		all := slowPlaces(v)
		for off := int64(-2); off < v.Size+3; off++ {
			at, ok := v.locate(off)
			inside := off >= 0 && off < int64(len(all))
			if ok != inside || ok && at != all[off] {
				t.Fatalf("byte %d of %+v: %+v, %v", off, v, at, ok)
			}
			if begin := v.begin(GetOptions{Offset: off}); off >= 0 && begin != off || off < 0 &&
				begin != max(0, v.Size+off) {
				t.Fatalf("offset %d of %d begins at %d", off, v.Size, begin)
			}
		}
		sum := int64(0)
		for i, p := range v.parts() {
			n := i + 1
			if v.Multipart {
				n = p.Number
			}
			off, length, err := v.partRange(n)
			if err != nil || off != sum || length != p.Size || v.begin(GetOptions{Part: n}) != sum {
				t.Fatalf("part %d: %d, %d, %v", n, off, length, err)
			}
			sum += p.Size
		}
		if _, _, err := v.partRange(100); !errors.Is(err, ErrInvalidPart) ||
			v.begin(GetOptions{Part: 100}) != -1 {
			t.Fatalf("part 100: %v", err)
		}
	})
}

var keyLetters = rapid.StringOfN(rapid.SampledFrom([]rune{0, 'a', 'b', '/', 0x10ffff}), 0, 5, -1)

// TestSortKeys: the sort keys of uploads are ordered as their keys, come apart again, and prefixes stay
// prefixes.
func TestSortKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := keyLetters.Draw(t, "a"), keyLetters.Draw(t, "b")
		x, y := UploadID{rapid.Byte().Draw(t, "x"), 0, 0, 1}, UploadID{rapid.Byte().Draw(t, "y")}
		sa, sb := uploadSort(Key(a), x), uploadSort(Key(b), y)
		want := strings.Compare(a, b)
		if want == 0 {
			want = bytes.Compare(x[:], y[:])
		}
		if bytes.Compare(sa, sb) != want {
			t.Fatalf("%q %v, %q %v: %x, %x", a, x, b, y, sa, sb)
		}
		if k, id, ok := splitUpload(sa); !ok || string(k) != a || id != x {
			t.Fatalf("%q %v came back as %q %v %v", a, x, k, id, ok)
		}
		if strings.HasPrefix(a, b) != bytes.HasPrefix(sa[:keyLen(sa)], escapePrefix(b)) {
			t.Fatalf("prefix %q of %q", b, a)
		}
		if unescapePrefix(escapePrefix(a)) != a || keyLen(sa) != len(escapePrefix(a)) {
			t.Fatalf("%q escaped is %x, length %d", a, escapePrefix(a), keyLen(sa))
		}
	})
}

// TestPartKeys: parts lie behind their upload, inside their ranges, and are skipped in one step.
func TestPartKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, id := Key(keyLetters.Draw(t, "key")), UploadID{rapid.Byte().Draw(t, "id")}
		n, owner := rapid.IntRange(1, PartMax).Draw(t, "n"), block.Owner{0xff, rapid.Byte().Draw(t, "owner")}
		s := partSort(k, id, n, owner)
		up := uploadSort(k, id)
		if !bytes.Equal(uploadOf(s), up) || bytes.Compare(up, s) >= 0 || skipParts(up) != nil {
			t.Fatalf("part %x of upload %x", s, up)
		}
		if number, o := attemptOf(s); number != n || o != owner {
			t.Fatalf("part %d %v came back as %d %v", n, owner, number, o)
		}
		next := uploadSort(k, UploadID{id[0], 1})
		if skip := skipParts(s); bytes.Compare(skip, s) <= 0 || bytes.Compare(skip, next) > 0 {
			t.Fatalf("skip of %x leads to %x", s, skip)
		}
		first, last := rapid.IntRange(1, PartMax).Draw(t, "first"), rapid.IntRange(1, PartMax).Draw(t, "last")
		start, end := partsRange(k, id, first, last)
		inside := bytes.Compare(start, s) <= 0 && bytes.Compare(s, end) < 0
		if inside != (first <= n && n <= last) {
			t.Fatalf("part %d in [%d, %d]: %v", n, first, last, inside)
		}
	})
}

// TestAssemble compares pick with a search of everything, and names every refusal.
func TestAssemble(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []attempt
		for i := range rapid.IntRange(0, 12).Draw(t, "attempts") {
			all = append(all, attempt{owner: block.Owner{byte(i)},
				stamp: hlc.Stamp(rapid.IntRange(1, 9).Draw(t, "stamp")),
				PartInfo: PartInfo{Number: rapid.IntRange(1, 4).Draw(t, "n"), Size: 5,
					ETag: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "etag")}})
		}
		slices.SortStableFunc(all, func(a, b attempt) int { return a.Number - b.Number })
		ref := PartRef{Number: rapid.IntRange(1, 4).Draw(t, "want"), ETag: "x"}
		got, ok := pick(all, ref)
		var want *attempt
		for i, a := range all {
			if a.Number == ref.Number && a.ETag == "x" && (want == nil || a.stamp >= want.stamp) {
				want = &all[i]
			}
		}
		if ok != (want != nil) || ok && got.owner != want.owner {
			t.Fatalf("picked %+v of %+v", got, all)
		}
	})
	all := []attempt{{PartInfo: PartInfo{Number: 1, Size: PartSizeMin, ETag: "a"}, blockSize: 8},
		{PartInfo: PartInfo{Number: 2, Size: 5, ETag: "b",
			Checksums: []Checksum{{Algo: "CRC32", Value: "v"}}}, blockSize: 9},
		{PartInfo: PartInfo{Number: 3, Size: 7, ETag: "c"}, blockSize: 8}}
	refs := func(s string) (parts []PartRef) {
		for _, c := range s {
			parts = append(parts, PartRef{Number: int(c-'a') + 1, ETag: string(c)})
		}
		return parts
	}
	bad := refs("b")
	bad[0].Checksums = []Checksum{{Algo: "CRC32", Value: "w"}}
	for _, test := range []struct {
		o    CompleteOptions
		want error
	}{
		{CompleteOptions{Parts: refs("ab"), Size: -1}, nil},
		{CompleteOptions{Parts: refs("ab"), Size: PartSizeMin + 5}, nil},
		{CompleteOptions{Parts: refs("ab"), Size: 1}, ErrInvalidPart},
		{CompleteOptions{Parts: refs("d"), Size: -1}, ErrInvalidPart},
		{CompleteOptions{Parts: bad, Size: -1}, ErrInvalidPart},
		{CompleteOptions{Parts: refs("bc"), Size: -1}, ErrPartTooSmall},
	} {
		v, infos, err := assemble(all, test.o)
		if !errors.Is(err, test.want) || err == nil && (len(infos) != 2 || v.Size != PartSizeMin+5) {
			t.Errorf("%+v: %+v, %v", test.o, v, err)
		}
		if err == nil && (v.blockSize(v.Parts[0]) != 8 || v.blockSize(v.Parts[1]) != 9) {
			t.Errorf("block sizes of %+v", v)
		}
	}
	for want, parts := range map[error][]PartRef{ErrPartOrder: refs("ba"), ErrInvalidPart: nil} {
		if err := checkOrder(parts); !errors.Is(err, want) {
			t.Errorf("%v: %v", parts, err)
		}
	}
	for _, n := range []int{0, -1, PartMax + 1} {
		if err := checkOrder([]PartRef{{Number: n}}); !errors.Is(err, ErrInvalidPart) {
			t.Errorf("part %d: %v", n, err)
		}
	}
}

// TestCompletedID: a retry makes the same version, and no other list does.
func TestCompletedID(t *testing.T) {
	seen := map[VersionID]string{}
	for _, id := range []UploadID{{}, {1}} {
		for _, parts := range [][]PartRef{nil, {{Number: 1, ETag: "a"}}, {{Number: 1, ETag: "ab"}},
			{{Number: 2, ETag: "a"}},
			{{Number: 1, ETag: "a"}, {Number: 2, ETag: "b"}}} {
			v := completedID(id, parts)
			if was, ok := seen[v]; ok || v != completedID(id, slices.Clone(parts)) {
				t.Errorf("%v %v has the id of %s", id, parts, was)
			}
			seen[v] = fmt.Sprint(id, parts)
		}
	}
}

// FuzzSplitUpload: whatever a peer calls a sort key, taking it apart ends well.
func FuzzSplitUpload(f *testing.F) {
	f.Add(uploadSort("a", UploadID{1}))
	f.Add(partSort("a\x00", UploadID{}, 3, block.Owner{4}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, sort []byte) {
		if k, id, ok := splitUpload(sort); ok && bytes.HasPrefix(escapeKey(k), sort[:keyLen(sort)]) {
			_ = uploadSort(k, id)
		}
		_ = keyLen(sort)
		_ = skipParts(sort)
		_ = uploadOf(sort)
	})
}
