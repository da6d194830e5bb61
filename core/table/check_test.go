package table

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"granary/core/codec"
	"granary/core/hlc"
)

// TestCheckKnowsVotes names votes that cannot have been cast, and a row of a full copy in another place.
// What else Check finds is tested with whole nodes, in sim/world.
func TestCheckKnowsVotes(t *testing.T) {
	def := markDef()
	def.Head = func(m mark) Head { return Head{Stamp: hlc.Stamp(m.Stamp)} }
	registry := &Registry{}
	tab := Register(registry, def)
	full := markDef()
	full.ID, full.FullCopy = def.ID+1, true
	Register(registry, full)
	row, err := codec.Marshal(mark{Stamp: 7})
	if err != nil {
		t.Fatal(err)
	}
	check := func(r record, id ID, pk []byte) string {
		w := newWriter()
		stored, err := codec.Seal(kindMark, 1, r)
		if err != nil {
			t.Fatal(err)
		}
		key := appendLocal(nil, newReader(w, pk).prefix, id, Address{pk, []byte("k")})
		w.Put(key, stored)
		tracker{w}.change(tab, key, Digest{}, rowDigest(key, r.Row, false))
		var faults []string
		rows := Check(w, registry, func(format string, args ...any) {
			faults = append(faults, fmt.Errorf(format, args...).Error())
		})
		if rows[id] != 1 {
			t.Errorf("%d rows", rows[id])
		}
		return strings.Join(faults, "; ")
	}
	pk := slices.Repeat([]byte{1}, def.PKLen)
	if got := check(record{Row: row, Votes: []headVote{{Stamp: 6}}}, def.ID, pk); got != "" {
		t.Errorf("a vote for an older head: %s", got)
	}
	if got := check(record{Row: row, Votes: []headVote{{Stamp: 7}}}, def.ID, pk); !strings.Contains(got,
		"nothing newer") {
		t.Errorf("a vote for the head: %q", got)
	}
	if got := check(record{Row: row}, full.ID, pk); !strings.Contains(got, "all nodes have whole") {
		t.Errorf("a full copy elsewhere: %q", got)
	}
}
