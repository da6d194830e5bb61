package check

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// play builds a history from lines. "1 put a v1" calls, "1 ok" returns; a read's "1 ok v1" or "1 ok -" says
// what it saw. Events happen in order of the lines. Etags are e1 for v1; sizes are the number.
func play(t *testing.T, story string) *History {
	t.Helper()
	h := &History{}
	open := map[string]int{}
	value := func(s string) (v ValueID) {
		if s != "-" {
			fmt.Sscanf(s, "v%d", &v)
		}
		return v
	}
	for _, line := range strings.Split(strings.TrimSpace(story), "\n") {
		f := strings.Fields(line)
		kind, known := map[string]Kind{"put": Put, "copy": Put, "delete": Delete, "get": Get, "head": Head,
			"list": List}[f[1]]
		if known {
			op := Op{Client: int(f[0][0] - '0'), Kind: kind, Key: f[2], Size: -1}
			switch f[1] {
			case "put":
				op.Value = value(f[3])
				op.ETag, op.Size = "e"+f[3][1:], int64(op.Value)
			case "copy":
				op.From = f[3]
			case "list":
				op.Key = ""
				op.Listing = &Listing{Prefix: strings.Trim(f[2], "-")}
				if len(f) > 3 {
					op.Listing.Delimiter = f[3]
				}
				op.Listing.Pages = []Page{{}}
			}
			open[f[0]] = h.Begin(0, op)
			continue
		}
		outcome, ok := map[string]Outcome{"ok": OK, "failed": Failed, "unknown": Unknown}[f[1]]
		if !ok {
			t.Fatalf("line %q", line)
		}
		at := open[f[0]]
		op := &h.Ops[at]
		switch {
		case op.Kind == List:
			p := &op.Listing.Pages[0]
			for _, item := range f[2:] {
				switch name, v, entry := strings.Cut(item, "="); {
				case item == "...":
					p.Truncated = true
				case entry:
					p.Entries = append(p.Entries, Entry{Key: name, ETag: "e" + v[1:], Size: int64(value(v))})
				default:
					p.Prefixes = append(p.Prefixes, name)
				}
			}
		case len(f) > 2 && op.From != "":
			op.ETag = "e" + f[2][1:]
		case len(f) > 2:
			op.Value = value(f[2])
			op.Absent = f[2] == "-"
			if len(f) > 3 {
				op.Fault = strings.Join(f[3:], " ")
			}
		}
		h.End(0, at, outcome)
		if op.Kind == List {
			op.Listing.Pages[0].Call, op.Listing.Pages[0].Return = op.Call, op.Return
		}
	}
	return h
}

// TestPlanted plants one violation of each kind, and near misses.
func TestPlanted(t *testing.T) {
	tests := []struct {
		name, story string
		want        []Fault
	}{
		{"quorum of one: the write went to one replica, the read to another",
			"1 put a v1\n1 ok\n1 put a v2\n1 ok\n2 get a\n2 ok v2\n3 get a\n3 ok v1", []Fault{Stale}},
		{"resurrection", "1 put a v1\n1 ok\n1 delete a\n1 ok\n2 get a\n2 ok v1", []Fault{Resurrected}},
		{"stale read",
			"1 put a v1\n1 ok\n2 put a v2\n2 ok\n2 get a\n2 ok v2\n3 get a\n3 ok v1", []Fault{Stale}},
		{"lost update", "1 put a v1\n1 ok\n2 put a v2\n2 ok\n3 get a\n3 ok v1", []Fault{Lost}},
		{"lost object", "1 put a v1\n1 ok\n2 get a\n2 ok -", []Fault{Lost}},
		{"thin air", "1 put a v1\n1 ok\n2 get a\n2 ok v7", []Fault{ThinAir}},
		{"another key's value", "1 put b v1\n1 ok\n2 get a\n2 ok v1", []Fault{ThinAir}},
		{"future", "2 get a\n2 ok v1\n1 put a v1\n1 ok", []Fault{Future}},
		{"failed write seen", "1 put a v1\n1 failed\n2 head a\n2 ok v1", []Fault{TakenBack}},
		{"wrong bytes", "1 put a v1\n1 ok\n2 get a\n2 ok v1 byte 5 is wrong", []Fault{WrongBytes}},
		{"listing misses a key", "1 put a v1\n1 ok\n2 list -\n2 ok", []Fault{ListMissing}},
		{"listing misses a key between others",
			"1 put a v1\n1 ok\n1 put b v2\n1 ok\n1 put c v3\n1 ok\n2 list -\n2 ok a=v1 c=v3 ...",
			[]Fault{ListMissing}},
		{"listing shows a deleted key",
			"1 put a v1\n1 ok\n1 delete a\n1 ok\n2 list -\n2 ok a=v1", []Fault{ListGhost}},
		{"listing shows a replaced version",
			"1 put a v1\n1 ok\n1 put a v2\n1 ok\n2 list -\n2 ok a=v1", []Fault{ListStale}},
		{"listing out of order",
			"1 put a v1\n1 ok\n1 put b v2\n1 ok\n2 list -\n2 ok b=v2 a=v1", []Fault{ListShape}},
		{"listing outside of the prefix", "1 put a v1\n1 ok\n2 list x\n2 ok a=v1", []Fault{ListShape}},
		{"listing ignores the delimiter", "1 put x/a v1\n1 ok\n2 list - /\n2 ok x/a=v1", []Fault{ListShape}},
		{"listing shows an empty prefix",
			"1 put x/a v1\n1 ok\n1 delete x/a\n1 ok\n2 list - /\n2 ok x/", []Fault{ListGhost}},
		{"listing misses a prefix", "1 put x/a v1\n1 ok\n2 list - /\n2 ok", []Fault{ListMissing}},
		{"copy holds another value",
			"1 put a v1\n1 ok\n1 put a v2\n1 ok\n2 copy b a\n2 ok v1\n3 get b\n3 ok v2", []Fault{ThinAir}},

		{"concurrent write seen", "1 put a v1\n2 get a\n2 ok v1\n1 ok", nil},
		{"concurrent write not seen", "1 put a v1\n2 get a\n2 ok -\n1 ok", nil},
		{"two reads disagree on concurrent writes",
			"1 put a v1\n2 put a v2\n1 ok\n2 ok\n3 get a\n3 ok v1\n3 get a\n3 ok v2\n3 get a\n3 ok v1", nil},
		{"unknown put seen late", "1 put a v1\n1 unknown\n2 put a v2\n2 ok\n3 get a\n3 ok v1", nil},
		{"unknown delete", "1 put a v1\n1 ok\n2 delete a\n2 unknown\n3 get a\n3 ok -\n3 get a\n3 ok v1", nil},
		{"write called during the old read", "1 put a v1\n1 ok\n3 get a\n1 put a v2\n1 ok\n3 ok v1", nil},
		{"copy", "1 put a v1\n1 ok\n2 copy b a\n2 ok v1\n3 get b\n3 ok v1", nil},
		{"copy of unknown outcome",
			"1 put a v1\n1 ok\n2 copy b a\n2 unknown\n3 get b\n3 ok v1\n3 get b\n3 ok -", nil},
		{"listing behind its last line", "1 put a v1\n1 ok\n1 put b v2\n1 ok\n2 list -\n2 ok a=v1 ...", nil},
		{"listing with prefix and delimiter",
			"1 put x/a v1\n1 ok\n1 put x/b/c v2\n1 ok\n1 put y v3\n1 ok\n2 list x/ /\n2 ok x/a=v1 x/b/", nil},
		{"listing during a delete", "1 put a v1\n1 ok\n1 delete a\n2 list -\n2 ok a=v1\n1 ok", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := play(t, tt.story)
			v, err := Agree(h, 0)
			if err != nil {
				t.Error(err)
			}
			var got []Fault
			for _, x := range v.Violations {
				got = append(got, x.Fault)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("faults (-want +got):\n%s%v", d, v.Violations)
			}
			for _, key := range v.Report.Illegal {
				page, err := HTML(h, key)
				if err != nil || !bytes.Contains(page, []byte("<html")) {
					t.Errorf("no picture of %q: %v", key, err)
				}
			}
		})
	}
}

func TestPagesOfAListing(t *testing.T) {
	h := play(t, "1 put a v1\n1 ok\n1 put b v2\n1 ok\n1 put c v3\n1 ok\n1 put d v4\n1 ok")
	pages := func(second ...Entry) []Page {
		p := []Page{
			{Call: h.Tick(), Return: h.Tick(), Entries: []Entry{{"a", "e1", 1}, {"b", "e2", 2}},
				Truncated: true},
			{Call: h.Tick(), Return: h.Tick(), Entries: second},
		}
		return p
	}
	list := func(p []Page, maxLines int) []Violation {
		g := &History{Ops: append([]Op(nil), h.Ops...), events: h.events}
		i := g.Begin(0, Op{Kind: List, Size: -1, Listing: &Listing{Pages: p, Max: maxLines}})
		g.End(0, i, OK)
		v, err := Agree(g, 0)
		if err != nil {
			t.Error(err)
		}
		return v.Violations
	}
	c, d := Entry{"c", "e3", 3}, Entry{"d", "e4", 4}
	if v := list(pages(c, d), 2); len(v) > 0 {
		t.Error(v)
	}
	if v := list(pages(d), 2); len(v) != 1 || v[0].Fault != ListMissing || v[0].Key != "c" {
		t.Errorf("a key lost between pages: %v", v)
	}
	if v := list(pages(c, d), 1); len(v) != 1 || v[0].Fault != ListShape {
		t.Errorf("too many lines: %v", v)
	}
	wrong := d
	wrong.Size = 5
	if v := list(pages(c, wrong), 2); len(v) != 1 || v[0].Fault != WrongBytes {
		t.Errorf("wrong size: %v", v)
	}
}

func TestDurable(t *testing.T) {
	h := play(t, "1 put a v1\n1 ok\n1 put b v2\n1 ok\n1 put c v3\n1 unknown\n1 put d v4\n1 ok")
	since := h.Tick()
	for _, line := range []string{"a", "b"} {
		i := h.Begin(0, Op{Kind: Get, Key: line, Size: -1, Value: 1})
		h.End(0, i, map[string]Outcome{"a": OK, "b": Failed}[line])
	}
	var got []string
	for _, v := range Durable(h, since) {
		got = append(got, fmt.Sprint(v.Fault, " ", v.Key))
	}
	want := []string{"unreadable at the end d", "unreadable at the end b"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestPictureOfLongHistory cuts a long history to what the fault needs.
func TestPictureOfLongHistory(t *testing.T) {
	h := regular(rand.New(rand.NewPCG(3, 2)), 6, 700, 1)
	i := h.Begin(0, Op{Kind: Get, Key: "a", Value: 1, Size: -1})
	h.End(0, i, OK)
	h.Ops[0].Kind, h.Ops[0].Value, h.Ops[0].Outcome = Put, 1, OK
	v := Direct(h)
	if len(v) == 0 {
		t.Fatal("the planted stale read passes")
	}
	page, err := HTML(h, "a")
	if err != nil || len(page) > 400_000 {
		t.Errorf("%d bytes, %v", len(page), err)
	}
	if !bytes.Contains(page, []byte(string(v[0].Fault))) {
		t.Error("the picture does not name the fault")
	}
	if _, err := HTML(h, "nobody"); err == nil {
		t.Error("a picture of nothing")
	}
}

// Replicas that lack a row, hold another state of it, or hold it without its parts, have diverged; those that
// hold the same have not, whoever is asked first.
func TestConverged(t *testing.T) {
	replica := func(node string, rows map[string]uint64) Replica {
		return Replica{Partition: "0", Node: node, Rows: rows}
	}
	full := map[string]uint64{"a": 1, "b": 2}
	for name, tt := range map[string]struct {
		other map[string]uint64
		want  string
	}{
		"same":  {map[string]uint64{"b": 2, "a": 1}, ""},
		"empty": {nil, "2 rows, for example y lacks row \"b\""},
		"lacks": {map[string]uint64{"b": 2}, "y lacks row \"a\""},
		"more":  {map[string]uint64{"a": 1, "b": 2, "c": 3}, "x lacks row \"c\""},
		"other": {map[string]uint64{"a": 1, "b": 3}, "1 rows, for example row \"b\" is not the same"},
	} {
		elsewhere := Replica{Partition: "1", Node: "x"}
		got := Converged([]Replica{elsewhere, replica("x", full), replica("y", tt.other)})
		if (len(got) > 0) != (tt.want != "") || len(got) > 0 && !strings.Contains(got[0].Text, tt.want) {
			t.Errorf("%s: %v, want %q", name, got, tt.want)
		}
	}
}
