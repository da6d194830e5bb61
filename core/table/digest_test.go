package table

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"granary/core/codec"
	"granary/core/hlc"
	"granary/core/kv"
	"granary/core/kv/memkv"
	"granary/sim/sched"
)

// digested are tables for tests of digests: two whose rows are compared, and one of parts between them.
type digested struct {
	registry    *Registry
	first, last *Table[mark]
	parts       *Table[mark]
}

func newDigested() *digested {
	d := &digested{registry: &Registry{}}
	def := markDef()
	def.ID, def.Name, def.Derived = 201, "part", true
	d.parts = Register(d.registry, def)
	def = markDef()
	def.Head = func(m mark) Head { return Head{Stamp: hlc.Stamp(m.Stamp)} }
	def.Parts = func(r *Reader, at Address, m mark, f func(Row)) (bool, error) {
		row, ok, err := d.parts.GetRow(r, partOf(at.Sort, m))
		if ok {
			f(row)
		}
		return ok || m.Dead, err
	}
	def.Applied = func(tx *Tx, at Address, old *mark, in, joined mark) error {
		for _, m := range []*mark{old, &in} {
			if m != nil && m.Stamp != joined.Stamp {
				d.parts.Drop(tx, partOf(at.Sort, *m))
			}
		}
		return nil
	}
	d.first = Register(d.registry, def)
	def = markDef()
	def.ID, def.Name = 202, "last"
	d.last = Register(d.registry, def)
	return d
}

// partOf is the sort key of the part that the row of a living mark has.
func partOf(sort []byte, m mark) []byte { return fmt.Appendf(nil, "%s/%d", sort, m.Stamp) }

// merge writes a row of one table, with its part if with is set.
func (d *digested) merge(t *testing.T, w kv.Writer, tab *Table[mark], pk, sort []byte, m mark, with bool) {
	t.Helper()
	tx := &Tx{Reader: *newReader(w, pk), w: w, registry: d.registry}
	if with && tab == d.first {
		if err := d.parts.Merge(tx, partOf(sort, m), mark{Stamp: m.Stamp}); err != nil {
			t.Fatal(err)
		}
	}
	if err := tab.Merge(tx, sort, m); err != nil {
		t.Fatal(err)
	}
}

// digestKeys are sort keys of one table and partition key of which many begin spans.
func digestKeys(r *rand.Rand, d *digested, pks [][]byte, n int) (keys [][]byte) {
	ranks := map[int]int{}
	for i := 0; len(keys) < n; i++ {
		sort := fmt.Appendf(nil, "%d-%d", r.IntN(1_000_000), i)
		rank := 0
		for _, pk := range pks {
			for _, tab := range []*Table[mark]{d.first, d.last} {
				key := appendLocal(nil, newReader(nil, pk).prefix, tab.def.ID, Address{pk, sort})
				rank = max(rank, rankOf(key))
			}
		}
		if limit := []int{n / 2, n/2 - 2, 2}[rank]; ranks[rank] < limit {
			ranks[rank]++
			keys = append(keys, sort)
		}
		if i > 200_000 { // no broad span among them
			break
		}
	}
	return keys
}

// Digests are those of a recount whatever happens to rows, in any order: they come, change, lose and get
// their parts, go, and are taken back; and the digest of any span is the sum over its rows.
func TestDigestsEqualARecount(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 21))
		d, w := newDigested(), newWriter()
		pks := [][]byte{{0}, {7}}
		keys := digestKeys(r, d, pks, 24)
		for range 400 {
			tab, pk, sort := choose(r, d.first, d.last), choose(r, pks...), choose(r, keys...)
			m := mark{Stamp: 1 + r.Uint64N(9), Dead: r.IntN(4) == 0}
			u := &undoWriter{Writer: w}
			if r.IntN(4) == 0 {
				d.remove(u, tab, pk, sort)
			} else {
				d.merge(t, u, tab, pk, sort, m, r.IntN(3) > 0)
			}
			if r.IntN(5) == 0 {
				u.rollback()
			}
			if err := checkDigests(w, d.registry); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		checkSpans(t, r, scope{w, d.registry, listMax})
	}
}

// Rows rot, others come, change and go beside them, spans are split between them, and they are repaired or
// go: once all can be read again the digests are those of a recount.
func TestDigestsAfterRot(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 24))
		d, w := newDigested(), newWriter()
		pk := []byte{0}
		keys, rots := digestKeys(r, d, [][]byte{pk}, 24), 0
		local := func(sort []byte) []byte {
			return appendLocal(nil, newReader(nil, pk).prefix, d.last.def.ID, Address{pk, sort})
		}
		for range 100 {
			for range 20 {
				sort, m := choose(r, keys...), mark{Stamp: 1 + r.Uint64N(9)}
				key := local(sort)
				stored := w.Get(key)
				_, unreadable := d.last.unseal(stored)
				switch {
				case stored == nil || unreadable == nil && r.IntN(2) == 0:
					d.merge(t, w, d.last, pk, sort, m, false)
				case unreadable == nil && r.IntN(2) == 0:
					d.remove(w, d.last, pk, sort)
				case unreadable == nil || r.IntN(3) == 0:
					rotten := bytes.Clone(stored)
					rots++ // so that no bit turns back
					rotten[rots%len(rotten)] ^= 1 << (rots / len(rotten) % 8)
					w.Put(key, rotten)
				default:
					d.mend(t, r, w, pk, sort, m)
				}
			}
			for _, sort := range keys {
				if stored := w.Get(local(sort)); stored != nil {
					if _, err := d.last.unseal(stored); err != nil {
						d.mend(t, r, w, pk, sort, mark{Stamp: 3})
					}
				}
			}
			if err := checkDigests(w, d.registry); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	}
}

// A row rots with its part. It is repaired first, and lacks the part: the repair of that may wait for it.
func TestMendBesideRottenPart(t *testing.T) {
	d, w, pk, sort, m := newDigested(), newWriter(), []byte{0}, []byte("k"), mark{Stamp: 5}
	d.merge(t, w, d.first, pk, sort, m, true)
	tx := &Tx{Reader: *newReader(w, pk), w: w, registry: d.registry}
	key := appendLocal(nil, tx.prefix, d.first.def.ID, Address{pk, sort})
	part := appendLocal(nil, tx.prefix, d.parts.def.ID, Address{pk, partOf(sort, m)})
	for _, k := range [][]byte{key, part} {
		rotten := bytes.Clone(w.Get(k))
		rotten[len(rotten)/2] ^= 1
		w.Put(k, rotten)
	}
	value, err := codec.Marshal(m)
	if err == nil {
		err = d.first.replace(tx, key, w.Get(key), value)
	}
	rec, bad := codec.Load[record](w.Get(key), d.first.def.Kind)
	if err != nil || bad != nil || !rec.Lacks {
		t.Errorf("%v, %v, lacks %v", err, bad, rec.Lacks)
	}
	if err := checkDigests(w, d.registry); err != nil {
		t.Error(err)
	}
}

// mend repairs a row, or takes it away as a repair, the drop of what belongs to others, or its removal does.
func (d *digested) mend(t *testing.T, r *rand.Rand, w kv.Writer, pk, sort []byte, m mark) {
	t.Helper()
	tx := &Tx{Reader: *newReader(w, pk), w: w, registry: d.registry}
	key := appendLocal(nil, tx.prefix, d.last.def.ID, Address{pk, sort})
	value, err := codec.Marshal(m)
	switch {
	case err != nil:
	case r.IntN(3) > 0:
		err = d.last.replace(tx, key, w.Get(key), value)
	case r.IntN(2) > 0:
		err = d.last.replace(tx, key, w.Get(key), nil)
	default:
		err = d.last.drop(tx, key, w.Get(key))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// remove deletes a row as the collection of tombstones will.
func (d *digested) remove(w kv.Writer, tab *Table[mark], pk, sort []byte) {
	key := appendLocal(nil, newReader(nil, pk).prefix, tab.def.ID, Address{pk, sort})
	stored := w.Get(key)
	if stored == nil {
		return
	}
	was := tab.digestOf(key, stored)
	w.Delete(key)
	tracker{w}.change(tab, key, was, Digest{})
}

// checkSpans compares the digests and lists of random spans with the slow obvious sum over their rows.
func checkSpans(t *testing.T, r *rand.Rand, c scope) {
	t.Helper()
	var rows []keySum
	var sums []Digest
	c.Ascend([]byte{localPrefix}, []byte{localPrefix + 1}, func(k, v []byte) bool {
		if s, err := c.registry.schema(ID(k[localHeadLen-1])); err == nil && !s.derived() {
			d := s.digestOf(k, v)
			rows, sums = append(rows, keySum{bytes.Clone(k), d.Sum[0]}), append(sums, d)
		}
		return true
	})
	for range 50 {
		all := SpanOf(0, 0xffff)
		edge := func() []byte {
			k := rows[r.IntN(len(rows))].key
			return append(bytes.Clone(k[:choose(r, len(k), len(k), 3, 4)]), make([]byte, r.IntN(2))...)
		}
		at := Span{choose(r, all.Lo, edge()), choose(r, all.Hi, edge())}
		if bytes.Compare(at.Lo, at.Hi) >= 0 {
			continue
		}
		var want Digest
		var list []keySum
		for i, row := range rows {
			if bytes.Compare(row.key, at.Lo) >= 0 && bytes.Compare(row.key, at.Hi) < 0 {
				want, list = want.add(sums[i]), append(list, row)
			}
		}
		if got := c.Digest(at); got != want {
			t.Fatalf("[%x, %x): %v, want %v", at.Lo, at.Hi, got, want)
		}
		got, next := c.list(at, len(list)+1)
		if next != nil || !slices.EqualFunc(got, list, func(a, b keySum) bool {
			return a.sum == b.sum && bytes.Equal(a.key, b.key)
		}) {
			t.Fatalf("[%x, %x): listed %d rows, want %d", at.Lo, at.Hi, len(got), len(list))
		}
		var parts Digest
		for _, part := range splitAt(at, c.split(at, listMax+1)) {
			parts = parts.add(c.Digest(part))
		}
		if parts != want {
			t.Fatalf("[%x, %x): its parts are %v, want %v", at.Lo, at.Hi, parts, want)
		}
	}
}

// A digest that is wrong, missing or too many is found, and a rebuild makes it right.
func TestCheckAndRebuildDigests(t *testing.T) {
	s := sched.New(sched.Options{Seed: 1})
	t.Cleanup(s.Stop)
	env, r, d := s.NewEnv([32]byte{1}, "a"), rand.New(rand.NewPCG(1, 22)), newDigested()
	store := memkv.Open(env, memkv.NewImage(), memkv.Options{})
	tables := &Tables{env: env, store: store, registry: d.registry}
	update := func(f func(w kv.Writer)) {
		err := store.Update(context.Background(), func(w kv.Writer) error { f(w); return nil })
		if err != nil {
			t.Error(err)
		}
	}
	env.Go("test", func() {
		update(func(w kv.Writer) {
			for i := range 2 * rebuildRows {
				tab, sort := choose(r, d.first, d.last), fmt.Appendf(nil, "%d", r.Int())
				d.merge(t, w, tab, []byte{byte(i % 40)}, sort, mark{Stamp: 1}, i%3 == 0)
			}
		})
		if err := tables.CheckDigests(); err != nil {
			t.Fatal(err)
		}
		var nodes [][]byte
		store.View(func(v kv.Reader) error {
			v.Ascend([]byte{digestPrefix}, []byte{localPrefix}, func(k, _ []byte) bool {
				nodes = append(nodes, bytes.Clone(k))
				return true
			})
			return nil
		})
		for _, spoil := range []func(w kv.Writer){
			func(w kv.Writer) { w.Put(nodes[3], Digest{Rows: 5}.encode()) },
			func(w kv.Writer) { w.Put(nodes[3], []byte("?")) },
			func(w kv.Writer) { w.Delete(nodes[len(nodes)-1]) },
			func(w kv.Writer) { w.Put([]byte{digestPrefix, levelGroup, 1, 1, 1}, Digest{Rows: 1}.encode()) },
			func(w kv.Writer) {
				for _, k := range nodes {
					w.Delete(k)
				}
				w.Delete(keyDigested)
			},
		} {
			update(spoil)
			if tables.CheckDigests() == nil {
				t.Error("not found")
			}
			if err := tables.RebuildDigests(context.Background()); err != nil {
				t.Error(err)
			}
			if err := tables.CheckDigests(); err != nil {
				t.Error(err)
			}
		}
	})
	if err := s.Run(0); err != nil {
		t.Fatal(err)
	}
}

func TestStoredDigestIsGolden(t *testing.T) {
	got := Digest{Rows: 3, Sum: [2]uint64{1, 0xff}}.encode()
	want := "01" + "0000000000000003" + "0000000000000001" + "00000000000000ff"
	if fmt.Sprintf("%x", got) != want || decodeDigest(got) != (Digest{3, [2]uint64{1, 0xff}}) {
		t.Errorf("%x, want %s", got, want)
	}
	key := appendLocal(nil, 0x1234, Object, Address{PK: []byte("pk"), Sort: []byte("sort")})
	if k := digestKey(levelSpan, key); !bytes.Equal(k, []byte("\x7f\x01\x12\x34\x01pksort")) ||
		!bytes.Equal(rowKeyOf(k), key) {
		t.Errorf("%x", k)
	}
	if d := rowDigest([]byte("k"), []byte("row"), false); fmt.Sprintf("%016x", d.Sum) != goldenRow {
		t.Errorf("%016x", d.Sum)
	}
}

const goldenRow = "[88b86409a61a1db1 26ec72fe5e0e1da0]"
