package k2vtest

import (
	"strings"
	"testing"

	_ "embed"
)

//go:embed testdata/rows.txt
var rowsFile string

// rows are what an endpoint promises, each under a name, and which of it was shown so far.
type rows struct {
	t     *testing.T
	names []string
	shown map[string]bool
}

func newRows(t *testing.T) *rows {
	r := &rows{t: t, shown: map[string]bool{}}
	for line := range strings.Lines(rowsFile) {
		if name, text, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			if _, twice := r.shown[name]; twice || strings.TrimSpace(text) == "" {
				t.Errorf("row %s is there twice, or says nothing", name)
			}
			r.names, r.shown[name] = append(r.names, name), false
		}
	}
	return r
}

// show notes that what follows shows these rows.
func (r *rows) show(names ...string) {
	r.t.Helper()
	for _, name := range names {
		if _, ok := r.shown[name]; !ok {
			r.t.Errorf("there is no row %q in rows.txt", name)
		}
		r.shown[name] = true
	}
}

// check reports the rows that nothing showed.
func (r *rows) check() {
	for _, name := range r.names {
		if !r.shown[name] {
			r.t.Errorf("row %s of rows.txt has no test", name)
		}
	}
}
