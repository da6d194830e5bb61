package plots

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// SpecName is the file that describes the figures of a folder.
const SpecName = "figures.toml"

// ErrSpec is the kind of every fault in a description.
var ErrSpec = errors.New("bad description of figures")

// The kinds of figures, the styles of lines and the ways to show a spread.
const (
	Lines = "lines"
	Bars  = "bars"

	Both   = "both"
	Points = "points"
	Line   = "line"
	Dashed = "dashed"

	Band = "band"
)

// Spec describes the figures of a folder.
type Spec struct {
	Figures []Figure `toml:"figure"`
}

// Figure is one drawing.
type Figure struct {
	File   string   `toml:"file"`
	Data   string   `toml:"data"`
	Kind   string   `toml:"kind"`
	Title  string   `toml:"title"`
	X      XAxis    `toml:"x"`
	Y      Axis     `toml:"y"`
	Width  float64  `toml:"width"`  // in points; 0: widthDefault
	Height float64  `toml:"height"` // in points; 0: heightDefault
	Series []Series `toml:"series"`
}

// Axis is what stands beside an axis, and its range where the data shall not decide.
type Axis struct {
	Label string   `toml:"label"`
	Unit  string   `toml:"unit"`
	Min   *float64 `toml:"min"`
	Max   *float64 `toml:"max"`
}

// XAxis is an Axis and what lies along it: the numbers of a column, or categories.
type XAxis struct {
	Axis
	Column   string `toml:"column"`
	Category string `toml:"category"` // a template of {column}s
	// Only are the categories to show, in this order; none: all, in the order of their appearance.
	Only []string `toml:"only"`
}

// Series is what is drawn in one colour.
type Series struct {
	Label string            `toml:"label"` // in the legend; empty: no entry
	Where map[string]string `toml:"where"` // which lines of the data; empty: all
	Y     string            `toml:"y"`     // column
	// Low and High are the columns of the ends of the error bars, both or neither.
	Low    string `toml:"low"`
	High   string `toml:"high"`
	Spread string `toml:"spread"` // bars, band; empty: bars
	Style  string `toml:"style"`  // both, points, line, dashed; empty: both
	Color  int    `toml:"color"`  // from 1; 0: the place of the series in the list
	// Optional leaves the series out when no line of the data is of it.
	Optional bool `toml:"optional"`
}

// ReadSpec reads and validates a description. Errors: ErrSpec, with line and column where the file's syntax
// is at fault, and with all other faults at once; those of the file.
func ReadSpec(name string) (*Spec, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := &Spec{}
	err = toml.NewDecoder(f).DisallowUnknownFields().Decode(s)
	if strict := (*toml.StrictMissingError)(nil); errors.As(err, &strict) {
		var faults []string
		for _, fault := range strict.Errors {
			row, _ := fault.Position()
			faults = append(faults, fmt.Sprintf("%s:%d: unknown setting %s", name, row,
				strings.Join(fault.Key(), ".")))
		}
		return nil, fmt.Errorf("%w:\n%s", ErrSpec, strings.Join(faults, "\n"))
	}
	if fault := (*toml.DecodeError)(nil); errors.As(err, &fault) {
		row, column := fault.Position()
		return nil, fmt.Errorf("%s:%d:%d: %w: %s", name, row, column, ErrSpec, fault)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, ErrSpec, err)
	}
	if faults := s.faults(); faults != nil {
		return nil, fmt.Errorf("%s: %w:\n%s", name, ErrSpec, strings.Join(faults, "\n"))
	}
	return s, nil
}

// faults lists what is wrong with s.
func (s *Spec) faults() []string {
	var faults []string
	if len(s.Figures) == 0 {
		faults = append(faults, "no [[figure]]")
	}
	files := map[string]bool{}
	for i := range s.Figures {
		f := &s.Figures[i]
		if files[f.File] {
			faults = append(faults, fmt.Sprintf("figure %q: two figures have this file", f.File))
		}
		files[f.File] = true
		for _, fault := range f.faults() {
			faults = append(faults, fmt.Sprintf("figure %q: %s", f.File, fault))
		}
	}
	return faults
}

func (f *Figure) faults() []string {
	var faults []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	local := func(name, ending string) bool {
		return filepath.Base(name) == name && strings.HasSuffix(name, ending) && name != ending
	}
	check(local(f.File, ".svg"), "file: want NAME.svg, without a folder")
	check(local(f.Data, ".csv"), "data is %q, want NAME.csv, without a folder", f.Data)
	check(f.Kind == Lines || f.Kind == Bars, "kind is %q, want %q or %q", f.Kind, Lines, Bars)
	check(f.Title != "", "no title")
	check(f.X.Label != "" && f.Y.Label != "", "an axis has no label")
	check(f.Kind != Lines || f.X.Column != "" && f.X.Category == "", "lines want x.column, and no x.category")
	check(f.Kind != Bars || f.X.Category != "" && f.X.Column == "", "bars want x.category, and no x.column")
	check(f.Kind != Lines || f.X.Only == nil, "x.only is for categories")
	check(f.Kind != Bars || f.X.Min == nil && f.X.Max == nil, "x has categories, so neither min nor max")
	for _, side := range []float64{f.Width, f.Height} {
		check(side == 0 || side >= sideMin && side <= sideMax, "a side of %g points, want %d to %d", side,
			sideMin, sideMax)
	}
	check(len(f.Series) > 0, "no [[figure.series]]")
	check(len(f.Series) <= seriesMax, "%d series, want at most %d", len(f.Series), seriesMax)
	for i := range f.Series {
		for _, fault := range f.Series[i].faults(f.Kind) {
			check(false, "series %d, %q: %s", i+1, f.Series[i].Label, fault)
		}
	}
	return faults
}

func (s *Series) faults(kind string) []string {
	var faults []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	check(s.Y != "", "no y")
	check((s.Low == "") == (s.High == ""), "one of low and high without the other")
	check(s.Color >= 0 && s.Color <= len(palette), "color %d, want 1 to %d", s.Color, len(palette))
	if kind == Bars {
		check(s.Style == "" && s.Spread == "", "style and spread are for lines")
		return faults
	}
	switch s.Style {
	case "", Both, Points, Line, Dashed:
	default:
		check(false, "style %q, want %q, %q, %q or %q", s.Style, Both, Points, Line, Dashed)
	}
	check(s.Spread == "" || s.Spread == Bars || s.Spread == Band, "spread %q, want %q or %q", s.Spread, Bars,
		Band)
	check(s.Spread == "" || s.Low != "", "spread without low and high")
	return faults
}
