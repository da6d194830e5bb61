package roles

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// positions returns where the keys of a document stand, which must parse. Elements of arrays of tables are
// numbered.
func positions(raw []byte) map[string]place {
	w := &walk{keys: map[string]place{}, count: map[string]int{}}
	for i, c := range raw {
		if c == '\n' {
			w.lines = append(w.lines, i+1)
		}
	}
	w.p.Reset(raw)
	prefix := ""
	for w.p.NextExpression() {
		switch e := w.p.Expression(); e.Kind {
		case unstable.Table:
			name, _ := w.key("", e)
			prefix = name + "."
		case unstable.ArrayTable:
			prefix = w.element(w.key("", e)) + "."
		case unstable.KeyValue:
			w.value(prefix, e)
		}
	}
	return w.keys
}

type walk struct {
	p     unstable.Parser
	lines []int // offsets at which lines 2, 3, … begin
	keys  map[string]place
	count map[string]int // elements of arrays of tables, by name
}

// key notes the key of an expression and returns its name and place. A dot within a part of it, which none of
// the keys that there are has, is written as a question mark.
func (w *walk) key(prefix string, e *unstable.Node) (name string, at place) {
	name = prefix
	for it := e.Key(); it.Next(); {
		n := it.Node()
		if at.line == 0 {
			at = w.place(int(n.Raw.Offset))
		} else {
			name += "."
		}
		name += strings.ReplaceAll(string(n.Data), ".", "?")
	}
	if _, ok := w.keys[name]; !ok {
		w.keys[name] = at
	}
	return name, at
}

// element notes one more table of an array and returns its name.
func (w *walk) element(name string, at place) string {
	name, w.count[name] = fmt.Sprintf("%s.%d", name, w.count[name]), w.count[name]+1
	w.keys[name] = at
	return name
}

// value notes the keys of a key-value expression, and of the tables within its value.
func (w *walk) value(prefix string, e *unstable.Node) {
	name, at := w.key(prefix, e)
	switch v := e.Value(); v.Kind {
	case unstable.InlineTable:
		w.inline(name, v)
	case unstable.Array:
		for it := v.Children(); it.Next(); {
			if table := it.Node(); table.Kind == unstable.InlineTable {
				w.inline(w.element(name, at), table)
			}
		}
	}
}

func (w *walk) inline(name string, table *unstable.Node) {
	for it := table.Children(); it.Next(); {
		w.value(name+".", it.Node())
	}
}

func (w *walk) place(offset int) place {
	i, found := slices.BinarySearch(w.lines, offset)
	if found {
		i++
	}
	begin := 0
	if i > 0 {
		begin = w.lines[i-1]
	}
	return place{i + 1, offset - begin + 1}
}
