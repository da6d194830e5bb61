package table

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"granary/core/codec"
	"granary/core/kv"
)

// mark is the row of these tests: the greatest stamp wins, of equal ones the dead one.
type mark struct {
	Stamp uint64 `cbor:"1,keyasint"`
	Dead  bool   `cbor:"2,keyasint,omitempty"`
	Pad   []byte `cbor:"3,keyasint,omitempty"` // not listed
}

func (m mark) Join(o mark) mark {
	if o.Stamp > m.Stamp || o.Stamp == m.Stamp && o.Dead {
		return o
	}
	return m
}

var kindMark = codec.Register(0xf1, 1, "mark")

var markPK = []byte("p")

func markDef() Def[mark] {
	return Def[mark]{ID: 200, Name: "mark", Kind: kindMark, Version: 1, PKLen: 1, Join: mark.Join,
		Live:    func(m mark) bool { return !m.Dead },
		Data:    func(m mark) bool { return m.Pad != nil },
		Project: func(m mark) mark { m.Pad = nil; return m }}
}

// marks is what a replica has, by sort key.
type marks map[string]mark

func (m marks) keys() []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// join is the slow obvious merge of replicas.
func join(replicas []marks) marks {
	all := marks{}
	for _, r := range replicas {
		for k, v := range r {
			if have, ok := all[k]; ok {
				v = have.Join(v)
			}
			all[k] = v
		}
	}
	return all
}

// heap is a kv.Store of fixed rows.
type heap struct {
	kv.Store
	keys, values [][]byte
}

func (h *heap) View(f func(kv.Reader) error) error { return f(heapReader{h: h}) }

type heapReader struct {
	kv.Reader
	h *heap
}

func (r heapReader) Ascend(start, end []byte, f func(k, v []byte) bool) {
	i, _ := slices.BinarySearchFunc(r.h.keys, start, bytes.Compare)
	for ; i < len(r.h.keys) && (end == nil || bytes.Compare(r.h.keys[i], end) < 0); i++ {
		if !f(r.h.keys[i], r.h.values[i]) {
			return
		}
	}
}

func (m marks) store(t testing.TB, tab *Table[mark]) *heap {
	h := &heap{}
	prefix := newReader(nil, markPK).prefix
	for _, k := range m.keys() {
		row, err := codec.Marshal(m[k])
		if err != nil {
			t.Fatal(err)
		}
		stored, err := codec.Seal(kindMark, 1, record{Row: row})
		if err != nil {
			t.Fatal(err)
		}
		h.keys = append(h.keys, appendLocal(nil, prefix, tab.def.ID, Address{markPK, []byte(k)}))
		h.values = append(h.values, stored)
	}
	return h
}

// run lists one page from stores, of which pick names those that answer a round. With hasty, each answer may
// stop long before it has to.
func run(t testing.TB, tab *Table[mark], stores []*heap, l *listing, max pageLimits, pick func() []int,
	hasty *rand.Rand) ListResult[mark] {
	t.Helper()
	for asks := l.asks(); asks != nil; asks = l.asks() {
		if l.rounds > 10_000 {
			t.Fatal("no end of rounds")
		}
		var answers [][]answer
		for _, i := range pick() {
			req := &pageRequest{Table: tab.def.ID, PK: markPK, All: l.all, Asks: slices.Clone(asks)}
			if hasty != nil {
				max.bytes = choose(hasty, 1, 40, 1<<20)
				for j := range req.Asks {
					req.Asks[j].Live = choose(hasty, 1, 2, req.Asks[j].Live)
					req.Asks[j].Dead = choose(hasty, 1, 2, req.Asks[j].Dead)
				}
			}
			resp, err := answerPage(context.Background(), stores[i].View, tab, req, max)
			if err != nil {
				t.Fatal(err)
			}
			got, err := resp.open(asks)
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, got)
		}
		if err := l.take(answers); err != nil {
			t.Fatal(err)
		}
	}
	page, err := pageOf(tab, l)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// twin lists everything at once from what all replicas know together.
func twin(m marks, q ListRequest, def Def[mark]) (items []string) {
	for _, k := range m.keys() {
		start, ok := q.From.start()
		above := q.End != nil && k >= string(q.End)
		if !ok || k < string(start) || above || !strings.HasPrefix(k, string(q.Prefix)) {
			continue
		}
		if m[k].Dead || def.Skip != nil && def.Skip([]byte(k)) != nil {
			continue
		}
		part := k
		if def.Foldable != nil {
			part = k[:def.Foldable([]byte(k))]
		}
		item := fmt.Sprint(k, "=", m[k].Stamp)
		if len(part) >= len(q.Prefix) && len(q.Delimiter) > 0 {
			before, _, found := strings.Cut(part[len(q.Prefix):], string(q.Delimiter))
			if found {
				item = string(q.Prefix) + before + string(q.Delimiter) + "*"
			}
		}
		if len(items) == 0 || items[len(items)-1] != item {
			items = append(items, item)
		}
	}
	return items
}

func show(page ListResult[mark]) (items []string) {
	for _, it := range page.Items {
		if it.Prefix {
			items = append(items, string(it.Sort)+"*")
		} else {
			items = append(items, fmt.Sprint(string(it.Sort), "=", it.Value.Stamp))
		}
	}
	return items
}

// world is a random case.
type world struct {
	tab      *Table[mark]
	replicas []marks
	q        ListRequest
	dead     int
	max      pageLimits
	hasty    *rand.Rand
}

func randomKey(r *rand.Rand) string {
	b := make([]byte, 1+r.IntN(5))
	for i := range b {
		b[i] = "ab/ab/ab/\x00\xff"[r.IntN(11)]
	}
	return choose(r, "", "", "a/") + string(b)
}

func choose[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func randomWorld(r *rand.Rand, replicas int) *world {
	def := markDef()
	if r.IntN(4) == 0 {
		// A key ends at its first 0xff, and rows with two of them are parts of others.
		def.Foldable = func(k []byte) int {
			if i := bytes.IndexByte(k, 0xff); i >= 0 {
				return i
			}
			return len(k)
		}
		def.Skip = func(k []byte) []byte {
			if i := bytes.IndexByte(k, 0xff); i >= 0 && bytes.Count(k, []byte{0xff}) > 1 && k[i+1] == 0xff {
				return append(bytes.Clone(k[:i+2]), 0xff, 0xff, 0xff, 0xff, 0xff)
			}
			return nil
		}
	}
	w := &world{tab: &Table[mark]{def: def}, dead: choose(r, 1, 2, 3, 5, 1000)}
	w.max = pageLimits{bytes: choose(r, 1, 30, 100, 1<<20), view: choose(r, 1, 2, 5, 1000)}
	w.q = ListRequest{PK: markPK, Max: choose(r, 1, 2, 3, 5, 1000),
		Prefix:    []byte(choose(r, "", "", "a", "a/", "/", "b\xff")),
		Delimiter: []byte(choose(r, "", "/", "/", "/", "b", "//", "a/"))}
	if r.IntN(4) == 0 {
		w.q.End = []byte(randomKey(r))
	}
	switch r.IntN(6) {
	case 0:
		w.q.From = AfterKey([]byte(randomKey(r)))
	case 1:
		w.q.From = AfterPrefix([]byte(randomKey(r)))
	}
	w.replicas = make([]marks, replicas)
	for i := range w.replicas {
		w.replicas[i] = marks{}
	}
	if r.IntN(2) == 0 {
		w.hasty = r
	}
	return w
}

// pages lists page after page and returns all items and the rounds of each page.
func (w *world) pages(t testing.TB, pick func() []int) (items []string, rounds []int) {
	t.Helper()
	var stores []*heap
	for _, m := range w.replicas {
		stores = append(stores, m.store(t, w.tab))
	}
	q := w.q
	for {
		l := newListing(w.tab, q, false)
		l.dead = w.dead
		page := run(t, w.tab, stores, l, w.max, pick, w.hasty)
		got := show(page)
		if len(got) > w.q.Max || page.More && len(got) == 0 {
			t.Fatalf("page of %d items, max %d, more %v", len(got), w.q.Max, page.More)
		}
		items, rounds = append(items, got...), append(rounds, page.Rounds)
		if len(rounds) > 10_000 {
			t.Fatal("no end of pages")
		}
		if !page.More {
			return items, rounds
		}
		from, err := ParseResume(page.Next.Encode())
		if err != nil {
			t.Fatal(err)
		}
		q.From = from
	}
}

func (w *world) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v dead %d limits %+v\n", w.q, w.dead, w.max)
	for i, m := range w.replicas {
		fmt.Fprintf(&b, "replica %d:", i)
		for _, k := range m.keys() {
			fmt.Fprintf(&b, " %q=%d", k, m[k].Stamp)
			if m[k].Dead {
				b.WriteString("✝")
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func all(n int) func() []int {
	var ids []int
	for i := range n {
		ids = append(ids, i)
	}
	return func() []int { return ids }
}

// Replicas that differ in any way: the pages together are the fold of the join.
func TestListingIsTheFoldOfTheJoin(t *testing.T) {
	for seed := range uint64(10_000) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := randomWorld(r, 1+r.IntN(3))
		for range r.IntN(25) {
			k := randomKey(r)
			for i := range w.replicas {
				if r.IntN(4) > 0 {
					w.replicas[i][k] = mark{Stamp: 1 + r.Uint64N(3), Dead: r.IntN(2) == 0, Pad: []byte("pad")}
				}
			}
		}
		want := twin(join(w.replicas), w.q, w.tab.def)
		got, _ := w.pages(t, all(len(w.replicas)))
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: got %q\nwant %q\n%s", seed, got, want, w.describe())
		}
	}
}

// Groups in which hardly any row is live, but many are at one replica or another.
func TestListingOfContradictions(t *testing.T) {
	for seed := range uint64(1_500) {
		r := rand.New(rand.NewPCG(seed, 5))
		w := randomWorld(r, 2+r.IntN(2))
		w.q = ListRequest{Delimiter: []byte("/"), Max: 1 + r.IntN(5)}
		for i := range 60 {
			k := fmt.Sprintf("%c/%02d", 'a'+byte(i/12), i%12)
			for _, m := range w.replicas {
				switch r.IntN(4) {
				case 0:
					m[k] = mark{Stamp: 1}
				case 1, 2:
					m[k] = mark{Stamp: 2, Dead: r.IntN(100) > 0}
				}
			}
			w.replicas[r.IntN(len(w.replicas))][k] = mark{Stamp: 2, Dead: r.IntN(100) > 0}
		}
		want := twin(join(w.replicas), w.q, w.tab.def)
		got, _ := w.pages(t, all(len(w.replicas)))
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: got %q\nwant %q\n%s", seed, got, want, w.describe())
		}
	}
}

// Each row's newest state is at two of three replicas; whichever two answer a round, nothing is missed.
func TestAnyReadQuorumListsWhatWasAcknowledged(t *testing.T) {
	for seed := range uint64(10_000) {
		r := rand.New(rand.NewPCG(seed, 2))
		w := randomWorld(r, 3)
		for range r.IntN(25) {
			k := randomKey(r)
			if _, ok := join(w.replicas)[k]; ok {
				continue
			}
			v := mark{Stamp: 3, Dead: r.IntN(2) == 0}
			late := r.IntN(4)
			for i := range w.replicas {
				if i != late {
					w.replicas[i][k] = v
				} else if r.IntN(3) > 0 {
					w.replicas[i][k] = mark{Stamp: 1 + r.Uint64N(2), Dead: r.IntN(2) == 0}
				}
			}
		}
		want := twin(join(w.replicas), w.q, w.tab.def)
		got, _ := w.pages(t, func() []int { return r.Perm(3)[:2] })
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: got %q\nwant %q\n%s", seed, got, want, w.describe())
		}
	}
}

// On converged replicas every page costs one round, however prefix and delimiter lie, unless dead rows exceed
// the limit.
func TestConvergedReplicasListInOneRound(t *testing.T) {
	for seed := range uint64(5_000) {
		r := rand.New(rand.NewPCG(seed, 3))
		w := randomWorld(r, 2)
		w.dead, w.max.bytes, w.hasty = 1000, 1<<20, nil
		for range r.IntN(40) {
			w.replicas[0][randomKey(r)] = mark{Stamp: 1, Dead: r.IntN(2) == 0}
		}
		w.replicas[1] = w.replicas[0]
		if _, rounds := w.pages(t, all(2)); slices.Max(rounds) > 1 {
			t.Fatalf("seed %d: rounds %v\n%s", seed, rounds, w.describe())
		}
	}
}

// Each replica has a live row in a/ that the other knows to be deleted. One more round tells.
func TestWitnessesThatContradictEachOther(t *testing.T) {
	w := &world{tab: &Table[mark]{def: markDef()}, dead: 100, max: pageLimits{1 << 20, 1000},
		q: ListRequest{Delimiter: []byte("/"), Max: 10}}
	w.replicas = []marks{
		{"a/1": {Stamp: 1}, "a/2": {Stamp: 5, Dead: true}, "b/1": {Stamp: 1}, "c": {Stamp: 1}},
		{"a/1": {Stamp: 3, Dead: true}, "a/2": {Stamp: 2}, "b/1": {Stamp: 1}, "c": {Stamp: 1}},
	}
	got, rounds := w.pages(t, all(2))
	if want := []string{"b/*", "c=1"}; !slices.Equal(got, want) || !slices.Equal(rounds, []int{2}) {
		t.Fatalf("got %q in rounds %v, want %q in 2", got, rounds, want)
	}
	w.replicas[0]["a/3"] = mark{Stamp: 1}
	w.replicas[1]["a/3"] = mark{Stamp: 1}
	got, rounds = w.pages(t, all(2))
	if want := []string{"a/*", "b/*", "c=1"}; !slices.Equal(got, want) || rounds[0] > 3 {
		t.Fatalf("got %q in rounds %v, want %q in 3 at most", got, rounds, want)
	}
	if len(rounds) != 1 {
		t.Fatalf("%d pages", len(rounds))
	}
}

// More unresolved groups than one batch asks about.
func TestManyUnresolvedGroups(t *testing.T) {
	const groups = 2*pageAsksMax + 50
	w := &world{tab: &Table[mark]{def: markDef()}, dead: 100, max: pageLimits{1 << 20, 1000},
		q: ListRequest{Delimiter: []byte("/"), Max: 1000}, replicas: []marks{{}, {}}}
	for i := range groups {
		g := fmt.Sprintf("%04d/", i)
		w.replicas[0][g+"1"], w.replicas[1][g+"1"] = mark{Stamp: 1}, mark{Stamp: 2, Dead: true}
		for _, r := range w.replicas {
			r[g+"2"] = mark{Stamp: 1, Dead: i%2 == 0}
		}
	}
	want := twin(join(w.replicas), w.q, w.tab.def)
	got, rounds := w.pages(t, all(2))
	if !slices.Equal(got, want) || slices.Max(rounds) > 4 {
		t.Fatalf("%d items in rounds %v, want %d in 4", len(got), rounds, len(want))
	}
}

// A flood of dead rows costs rounds that grow, and the page still has an item.
func TestDeadFlood(t *testing.T) {
	w := &world{tab: &Table[mark]{def: markDef()}, dead: pageDeadMax,
		max: pageLimits{pageBytesMax, pageViewMax},
		q:   ListRequest{Max: 10}, replicas: []marks{{}, {}}}
	for i := range 25_000 {
		w.replicas[0][fmt.Sprintf("%05d", i)] = mark{Stamp: 1, Dead: true}
	}
	w.replicas[0]["x"] = mark{Stamp: 7}
	w.replicas[1] = w.replicas[0]
	got, rounds := w.pages(t, all(2))
	if !slices.Equal(got, []string{"x=7"}) || rounds[0] != 3 {
		t.Fatalf("got %q in rounds %v, want x in 3: 2,000 rows, 8,000, 32,000", got, rounds)
	}
}

// A scan shows every row, dead ones too, and names those that differ.
func TestScanShowsAll(t *testing.T) {
	tab := &Table[mark]{def: markDef()}
	a := marks{"x": {Stamp: 1}, "y": {Stamp: 2, Dead: true}, "z": {Stamp: 1}}
	b := marks{"x": {Stamp: 1}, "y": {Stamp: 1}}
	stores := []*heap{a.store(t, tab), b.store(t, tab)}
	l := newListing(tab, ListRequest{End: []byte("zz")}, true)
	page := run(t, tab, stores, l, pageLimits{1 << 20, 1000}, all(2), nil)
	if got, want := show(page), []string{"x=1", "y=2", "z=1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := fmt.Sprintf("%s", page.Diverged); got != "[y z]" {
		t.Errorf("diverged %s, want [y z]", got)
	}
}
