package check

import (
	"strings"
	"testing"

	"granary/core/block"
)

func TestLeaks(t *testing.T) {
	h, o := block.Hash{1}, block.Owner{2}
	holding := func(node string) Holding {
		return Holding{Node: node, Needs: map[block.Owner][]block.Hash{o: {h}},
			Refs:   map[Claim]bool{{h, o}: true},
			Blocks: map[block.Hash]bool{h: true}, Mine: func(block.Hash) bool { return true }}
	}
	for _, tt := range []struct {
		name   string
		change func(*Holding)
		want   string // in the only violation
	}{
		{"whole", func(*Holding) {}, ""},
		{"reference too many", func(n *Holding) { n.Refs[Claim{h, block.Owner{3}}] = true },
			"that nothing needs"},
		{"reference missing", func(n *Holding) {
			delete(n.Refs, Claim{h, o})
			delete(n.Blocks, h)
		}, "lacks the reference"},
		{"reference missing at no replica", func(n *Holding) {
			delete(n.Refs, Claim{h, o})
			delete(n.Blocks, h)
			n.Mine = func(block.Hash) bool { return false }
		}, ""},
		{"block too many", func(n *Holding) { n.Blocks[block.Hash{4}] = true }, "to which nothing refers"},
		{"block missing", func(n *Holding) { delete(n.Blocks, h) }, "lacks block"},
		{"nobody looked at blocks", func(n *Holding) { n.Blocks = nil }, ""},
		{"loose row", func(n *Holding) { n.Loose = []string{"garbage"} }, "keeps the garbage"},
		{"needed by one node alone", func(n *Holding) { n.Needs = nil }, ""},
	} {
		a, b := holding("a"), holding("b")
		tt.change(&b)
		got := Leaks([]Holding{a, b})
		switch {
		case tt.want == "" && len(got) == 0:
		case len(got) != 1 || got[0].Fault != Leaked || tt.want == "" ||
			!strings.Contains(got[0].Text, tt.want):
			t.Errorf("%s: %v, want %q", tt.name, got, tt.want)
		}
	}
}
