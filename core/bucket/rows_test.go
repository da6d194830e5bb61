package bucket

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"granary/core/cors"
	"granary/core/crdt"
	"granary/core/crdt/crdttest"
	"granary/core/hlc"
	"granary/core/rt"
	"granary/sim/sched"
)

// init asks for more random cases than rapid's default; -rapid.checks on the command line still wins.
func init() {
	if err := flag.Set("rapid.checks", "500"); err != nil {
		panic(err)
	}
}

func drawStamp(t *rapid.T) hlc.Stamp { return hlc.Stamp(rapid.IntRange(1, 4).Draw(t, "stamp")) }

func drawBucketRow(t *rapid.T) (row bucketRow) {
	if rapid.Bool().Draw(t, "written") {
		row.Life = crdt.LWW[bucketLife]{Stamp: drawStamp(t)}
		if rapid.Bool().Draw(t, "live") {
			id := BucketID{1, 2, 3}
			row.Life.Value = bucketLife{Live: true, ID: id[:],
				Owner: KeyID(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "owner"))}
		}
	}
	for range rapid.IntRange(0, 3).Draw(t, "grants") {
		key := KeyID(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"))
		row.Grants = row.Grants.With(key, crdt.LWW[uint8]{Stamp: drawStamp(t),
			Value: uint8(rapid.IntRange(0, 7).Draw(t, "bits"))})
	}
	if rapid.Bool().Draw(t, "rules") {
		row.CORS = crdt.LWW[cors.Rules]{Stamp: drawStamp(t)}
		for range rapid.IntRange(0, 2).Draw(t, "rules") {
			origin := rapid.SampledFrom([]string{"*", "https://a"}).Draw(t, "origin")
			row.CORS.Value = append(row.CORS.Value, cors.Rule{Origins: []string{origin}})
		}
	}
	return row
}

func TestBucketRowLaws(t *testing.T) { crdttest.Laws(t, rapid.Custom(drawBucketRow)) }

func TestKeyRowLaws(t *testing.T) {
	crdttest.Laws(t, rapid.Custom(func(t *rapid.T) (row keyRow) {
		if rapid.Bool().Draw(t, "written") {
			row.State = crdt.LWW[keyState]{Stamp: drawStamp(t),
				Value: keyState{Live: rapid.Bool().Draw(t, "live"),
					Secret: rapid.SampledFrom([]string{"", "s", "t"}).Draw(t, "secret")}}
		}
		return row
	}))
}

func TestGateRowLaws(t *testing.T) {
	crdttest.Laws(t, rapid.Custom(func(t *rapid.T) gateRow {
		return gateRow{Count: uint64(rapid.IntRange(0, 3).Draw(t, "count")),
			State: gateState(rapid.IntRange(0, 2).Draw(t, "state"))}
	}))
}

// TestEarlierLife: what was granted in a bucket that was deleted, and its rules, do not come back with a
// bucket of its name, even if they were stamped later; no grant without permissions is shown, and the order
// is that of keys.
func TestEarlierLife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawBucketRow(t), drawBucketRow(t)
		row := a.Join(b)
		shown, ok := row.bucket("name")
		if ok != row.Life.Value.Live {
			t.Fatalf("live %v: %v", ok, row)
		}
		if s := row.stamp(); row.Life.Stamp > s || row.CORS.Stamp > s {
			t.Fatalf("stamp %d of %+v", s, row)
		}
		if !ok {
			return
		}
		var want bucketRow
		for _, r := range []bucketRow{a, b} {
			if r.Life.Stamp == row.Life.Stamp && r.Life.Value.Owner == row.Life.Value.Owner &&
				r.Life.Value.Live {
				want = bucketRow{Grants: want.Grants.Join(r.Grants), CORS: want.CORS.Join(r.CORS)}
			}
		}
		last := KeyID("")
		for _, g := range shown.Grants {
			if lww, _ := want.Grants.Get(g.Key); g.bits() == 0 || g.bits() != lww.Value || g.Key <= last {
				t.Fatalf("grant %+v of %+v", g, want)
			}
			last = g.Key
		}
		for key, g := range want.Grants.All() {
			if _, has := shown.Grant(key); has != (g.Value != 0) {
				t.Fatalf("grant of %v shown: %v, %+v", key, has, want)
			}
		}
		if len(shown.CORS) != len(want.CORS.Value) {
			t.Fatalf("rules %+v of %+v", shown.CORS, want)
		}
	})
}

func TestCheckName(t *testing.T) {
	good := []string{"abc", "a.b", "my-bucket", "123", strings.Repeat("a", 63), "1.2.3", "a-b.c-d",
		"256.1.1.1"}
	bad := []string{"", "ab", strings.Repeat("a", 64), "Abc", "a_b", "-abc", "abc-", ".abc", "abc.", "a..b",
		"1.2.3.4",
		"a b", "a/b", "ä-name", "xn--abc", "sthree-abc", "amzn-s3-demo-x", "abc\x00"}
	for _, name := range good {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range bad {
		if err := CheckName(name); !errors.Is(err, ErrInvalidName) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"abc", "1.2.3.4", "a..b", "xn--a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		err := CheckName(name)
		if err == nil && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
			t.Errorf("%q is taken for a name", name)
		}
		if err != nil && (!errors.Is(err, ErrInvalidName) || len(err.Error()) > 800) {
			t.Errorf("%q: %v", name, err)
		}
	})
}

func TestKeyValidate(t *testing.T) {
	good := Key{ID: "GK0123", Secret: "secret+/=", Name: "for backups"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, bad := range []Key{{ID: "GK", Secret: ""}, {Secret: "s"}, {ID: "a/b", Secret: "s"},
		{ID: "a b", Secret: "s"},
		{ID: "a\n", Secret: "s"}, {ID: KeyID(strings.Repeat("a", KeyIDMax+1)), Secret: "s"},
		{ID: "a", Secret: strings.Repeat("s", KeySecretMax+1)}, {ID: "a", Secret: "s",
			Name: strings.Repeat("n", KeyNameMax+1)}} {
		if err := bad.Validate(); !errors.Is(err, ErrInvalidKey) || strings.Contains(err.Error(), "sss") {
			t.Errorf("%#v: %v", bad, err)
		}
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(format, good); strings.Contains(s, "secret") {
			t.Errorf("%s tells the secret: %s", format, s)
		}
	}
}

// TestRation compares the ration with counting: never more than burst and what the time since brought.
func TestRation(t *testing.T) {
	s := sched.New(sched.Options{Seed: 1})
	defer s.Stop()
	env := s.NewEnv(rt.NodeID{1}, "a")
	env.Go("test", func() {
		const burst, every = 5, 10 * time.Millisecond
		r := newRation(env, burst, every)
		rng := env.Rand("test")
		tokens, last := time.Duration(burst)*every, env.Now()
		for range 2000 {
			if err := env.Sleep(rt.Forever, time.Duration(rng.IntN(30))*time.Millisecond/2); err != nil {
				t.Error(err)
			}
			now := env.Now()
			tokens, last = min(tokens+now-last, burst*every), now
			want := tokens >= every
			if want {
				tokens -= every
			}
			if got := r.take(); got != want {
				t.Errorf("at %v: %v, want %v with %v", now, got, want, tokens)
				return
			}
		}
	})
	if err := s.Run(time.Hour); err != nil {
		t.Fatal(err)
	}
}
