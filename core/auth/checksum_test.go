package auth

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// sumOf hashes content with one algorithm.
func sumOf(a Algorithm, content []byte) Checksum {
	h := NewHasher(HasherOptions{Algorithm: a, SkipMD5: true})
	h.Write(content)
	return h.Sums().Checksum
}

// slowCRC is the obvious twin of the reflected CRCs: one bit at a time.
func slowCRC(width uint, poly uint64, content []byte) uint64 {
	all := ^uint64(0) >> (64 - width)
	crc := all
	for _, b := range content {
		crc ^= uint64(b)
		for range 8 {
			low := crc & 1
			crc >>= 1
			if low != 0 {
				crc ^= poly
			}
		}
	}
	return crc ^ all
}

func TestKnownChecksums(t *testing.T) {
	// The check values of the CRC catalogue and of FIPS 180, for "123456789".
	for a, want := range map[Algorithm][]byte{
		CRC32:     {0xcb, 0xf4, 0x39, 0x26},
		CRC32C:    {0xe3, 0x06, 0x92, 0x83},
		CRC64NVME: {0xae, 0x8b, 0x14, 0x86, 0x0a, 0x79, 0x98, 0x88},
	} {
		if got := sumOf(a, []byte("123456789")); string(got.Bytes()) != string(want) {
			t.Errorf("%v: %x, want %x", a, got.Bytes(), want)
		}
	}
	one, two := sha1.Sum([]byte("123456789")), sha256.Sum256([]byte("123456789"))
	if got := sumOf(SHA1, []byte("123456789")); string(got.Bytes()) != string(one[:]) {
		t.Errorf("SHA1: %x", got.Bytes())
	}
	if got := sumOf(SHA256, []byte("123456789")); string(got.Bytes()) != string(two[:]) {
		t.Errorf("SHA256: %x", got.Bytes())
	}
}

func TestAlgorithms(t *testing.T) {
	for a := CRC32; a <= SHA256; a++ {
		if got, err := ParseAlgorithm(a.String()); err != nil || got != a {
			t.Errorf("%v parses as %v, %v", a, got, err)
		}
		if a.newHash().Size() != a.Size() {
			t.Errorf("%v: size %d", a, a.Size())
		}
		if got, ok := algorithmOfHeader(a.Header()); !ok || got != a {
			t.Errorf("%v: header %s", a, a.Header())
		}
		sum := sumOf(a, []byte("content"))
		if got, err := ParseChecksum(a, sum.String()); err != nil || got != sum {
			t.Errorf("%v: %s parses as %v, %v", a, sum, got, err)
		}
	}
	if a, err := ParseAlgorithm(""); a != NoAlgorithm || err != nil {
		t.Errorf("no algorithm: %v, %v", a, err)
	}
	for _, bad := range []string{"MD5", "CRC", " CRC32"} {
		if _, err := ParseAlgorithm(bad); !errors.Is(err, ErrUnknownAlgorithm) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, none := range []Algorithm{NoAlgorithm, SHA256 + 1} {
		if none.String() != "" || none.Header() != "" || none.Size() != 0 {
			t.Errorf("algorithm %d has a name", none)
		}
	}
}

func TestChecksumTypes(t *testing.T) {
	cases := []struct {
		text string
		a    Algorithm
		want ChecksumType
		ok   bool
	}{
		{"", NoAlgorithm, UnsetType, true},
		{"", CRC32, Composite, true}, {"", CRC64NVME, FullObject, true}, {"", SHA256, Composite, true},
		{"FULL_OBJECT", CRC32, FullObject, true}, {"FULL_OBJECT", CRC32C, FullObject, true},
		{"COMPOSITE", CRC32C, Composite, true}, {"COMPOSITE", SHA1, Composite, true},
		{"FULL_OBJECT", SHA1, 0, false}, {"FULL_OBJECT", SHA256, 0, false}, {"COMPOSITE", CRC64NVME, 0,
			false},
		{"PARTIAL", CRC32, 0, false}, {"FULL_OBJECT", NoAlgorithm, 0, false},
	}
	for _, c := range cases {
		got, err := ParseChecksumType(c.text, c.a)
		if got != c.want || (err == nil) != c.ok || err != nil && !errors.Is(err, ErrUnknownAlgorithm) {
			t.Errorf("%q for %v: %v, %v", c.text, c.a, got, err)
		}
	}
}

func TestHasherSharesSHA256(t *testing.T) {
	h := NewHasher(HasherOptions{SHA256: true, Algorithm: SHA256})
	if h.checksum != nil {
		t.Error("SHA-256 is computed twice")
	}
	h.Write([]byte("ab"))
	h.Write([]byte("c"))
	s := h.Sums()
	abc := sha256.Sum256([]byte("abc"))
	if s.SHA256 != abc || s.Checksum.Value != s.SHA256 || s.Size != 3 || s.MD5 == [16]byte{} {
		t.Errorf("%+v", s)
	}
	if s := NewHasher(HasherOptions{SkipMD5: true}).Sums(); s != (Sums{}) {
		t.Errorf("nothing asked for: %+v", s)
	}
}

func TestCombineIsConcatenation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SampledFrom([]Algorithm{CRC32, CRC32C, CRC64NVME}).Draw(t, "algorithm")
		pieces := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 1, 5).Draw(t, "pieces")
		var whole []byte
		var parts []PartSum
		for _, p := range pieces {
			whole = append(whole, p...)
			parts = append(parts, PartSum{sumOf(a, p), int64(len(p))})
		}
		got, err := FullObjectSum(parts)
		if want := sumOf(a, whole); err != nil || got != want {
			t.Fatalf("%v of %d parts: %v, %v, want %v", a, len(parts), got, err, want)
		}
	})
}

func TestCRCsAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "content")
		for _, a := range []Algorithm{CRC32, CRC32C, CRC64NVME} {
			f := crcFields[a]
			var got uint64
			sum := sumOf(a, content)
			for _, b := range sum.Bytes() {
				got = got<<8 | uint64(b)
			}
			if want := slowCRC(f.width, f.poly, content); got != want {
				t.Fatalf("%v: %x, the twin %x", a, got, want)
			}
		}
	})
}

func TestCombineLongRuns(t *testing.T) {
	// Zero bytes, doubled again and again, against hashing them.
	sum, size := sumOf(CRC32, []byte{0}), int64(1)
	for size < 1<<20 {
		next, err := Combine(sum, sum, size)
		if err != nil {
			t.Fatal(err)
		}
		sum, size = next, size*2
		if size == 1<<20 {
			if want := sumOf(CRC32, make([]byte, 1<<20)); sum != want {
				t.Fatalf("1 MiB of zeros: %v, want %v", sum, want)
			}
		}
	}
}

func TestCombineRefuses(t *testing.T) {
	crc, sha := sumOf(CRC32, nil), sumOf(SHA256, nil)
	for name, pair := range map[string][2]Checksum{
		"two kinds": {crc, sumOf(CRC32C, nil)}, "hashes": {sha, sha}, "nothing": {},
	} {
		if _, err := Combine(pair[0], pair[1], 1); !errors.Is(err, ErrUnknownAlgorithm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Combine(crc, crc, -1); !errors.Is(err, ErrUnknownAlgorithm) {
		t.Errorf("negative length: %v", err)
	}
	for _, parts := range [][]PartSum{nil, {{Checksum: sha}}, {{Checksum: crc}, {Checksum: sha}}} {
		if _, err := FullObjectSum(parts); !errors.Is(err, ErrUnknownAlgorithm) {
			t.Errorf("full object of %v: %v", parts, err)
		}
	}
	for _, parts := range [][]Checksum{nil, {{}}, {crc, sha}} {
		if _, _, err := CompositeSum(parts); !errors.Is(err, ErrUnknownAlgorithm) {
			t.Errorf("composite of %v: %v", parts, err)
		}
	}
}

func TestComposite(t *testing.T) {
	for a := CRC32; a <= SHA256; a++ {
		one, two := sumOf(a, []byte("one")), sumOf(a, []byte("two"))
		want := sumOf(a, append(append([]byte(nil), one.Bytes()...), two.Bytes()...))
		sum, text, err := CompositeSum([]Checksum{one, two})
		if err != nil || sum != want || text != base64.StdEncoding.EncodeToString(want.Bytes())+"-2" {
			t.Errorf("%v: %v, %s, %v", a, sum, text, err)
		}
	}
}
