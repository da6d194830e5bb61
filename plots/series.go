package plots

import (
	"errors"
	"fmt"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// dot is one value of a series, with the ends of its error bar.
type dot struct {
	x, y, low, high float64
	line            int // of the data file
}

// dots are the values of a series. It implements plotter.XYer and plotter.YErrorer.
type dots []dot

// Len implements plotter.XYer.
func (d dots) Len() int { return len(d) }

// XY implements plotter.XYer.
func (d dots) XY(i int) (x, y float64) { return d[i].x, d[i].y }

// YError implements plotter.YErrorer.
func (d dots) YError(i int) (low, high float64) { return d[i].y - d[i].low, d[i].high - d[i].y }

// errNotShown is what place returns for a row that the figure leaves out.
var errNotShown = errors.New("not shown")

// dots reads a series; place says where along x a row lies.
func (s *Series) dots(t *Table, place func(Row) (float64, error)) (dots, error) {
	rows, err := t.pick(s.Where)
	if err != nil {
		return nil, err
	}
	var all dots
	for _, row := range rows {
		d := dot{line: row.Line}
		if d.x, err = place(row); errors.Is(err, errNotShown) {
			continue
		} else if err != nil {
			return nil, err
		}
		if d.y, err = t.number(row, s.Y); err != nil {
			return nil, err
		}
		d.low, d.high = d.y, d.y
		if s.Low != "" {
			if d.low, err = t.number(row, s.Low); err != nil {
				return nil, err
			}
			if d.high, err = t.number(row, s.High); err != nil {
				return nil, err
			}
		}
		if d.low > d.y || d.y > d.high {
			return nil, fmt.Errorf("%s:%d: %w: %s, %s, %s are %g, %g, %g: want them ascending", t.Name,
				row.Line, ErrData, s.Low, s.Y, s.High, d.low, d.y, d.high)
		}
		all = append(all, d)
	}
	slices.SortStableFunc(all, func(a, b dot) int {
		switch {
		case a.x < b.x:
			return -1
		case a.x > b.x:
			return 1
		}
		return 0
	})
	for i := 1; i < len(all); i++ {
		if all[i].x == all[i-1].x {
			return nil, fmt.Errorf("%s:%d: %w: at the same x as line %d; does series %q want another where?",
				t.Name, all[i].line, ErrData, all[i-1].line, s.Label)
		}
	}
	return all, nil
}

// lines draws a figure of lines.
func (f *Figure) lines(t *Table, p *plot.Plot, l *legend) error {
	var strokes, spreads, dots []plot.Plotter // above all bands, in this order
	for i := range f.Series {
		s := &f.Series[i]
		all, err := s.dots(t, func(row Row) (float64, error) { return t.number(row, f.X.Column) })
		if err != nil {
			return err
		}
		look := lookOf(s, i)
		var icons []plot.Thumbnailer
		if s.Spread == Band {
			band, err := bandOf(all, look)
			if err != nil {
				return err
			}
			p.Add(band)
			icons = append(icons, band)
		} else if s.Low != "" {
			bars, err := errorBars(all, look.line())
			if err != nil {
				return err
			}
			spreads = append(spreads, bars)
		}
		line, points, err := plotter.NewLinePoints(all)
		if err != nil {
			return err
		}
		line.LineStyle, points.GlyphStyle = look.line(), look.glyph()
		if s.Style == Dashed {
			line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
		}
		if s.Style != Points {
			strokes, icons = append(strokes, line), append(icons, line)
		}
		if s.Style != Line && s.Style != Dashed {
			dots, icons = append(dots, points), append(icons, points)
		}
		l.add(s.Label, icons...)
	}
	p.Add(strokes...)
	p.Add(spreads...)
	p.Add(dots...)
	return nil
}

func errorBars(all dots, style draw.LineStyle) (*plotter.YErrorBars, error) {
	bars, err := plotter.NewYErrorBars(all)
	if err != nil {
		return nil, err
	}
	style.Width = vg.Points(lineWidth / 2)
	bars.LineStyle, bars.CapWidth = style, vg.Points(capWidth)
	return bars, nil
}

// bandOf is the area between the low and the high ends.
func bandOf(all dots, look look) (*plotter.Polygon, error) {
	var edge plotter.XYs
	for _, d := range all {
		edge = append(edge, plotter.XY{X: d.x, Y: d.high})
	}
	for _, d := range slices.Backward(all) {
		edge = append(edge, plotter.XY{X: d.x, Y: d.low})
	}
	band, err := plotter.NewPolygon(edge)
	if err != nil {
		return nil, err
	}
	band.Color = look.pale()
	band.LineStyle.Width = 0
	return band, nil
}

// barRoom is the share of a category's room that its bars take.
const barRoom = 0.8

// bars draws a figure of bars.
func (f *Figure) bars(t *Table, p *plot.Plot, l *legend) error {
	categories := slices.Clone(f.X.Only)
	place := func(row Row) (float64, error) {
		text, err := t.fill(f.X.Category, row)
		if err != nil {
			return 0, err
		}
		i := slices.Index(categories, text)
		if i < 0 && f.X.Only != nil {
			return 0, errNotShown
		}
		if i < 0 {
			i = len(categories)
			categories = append(categories, text)
		}
		return float64(i), nil
	}
	width := barRoom / float64(len(f.Series))
	for i := range f.Series {
		s := &f.Series[i]
		all, err := s.dots(t, place)
		if err != nil {
			return err
		}
		look := lookOf(s, i)
		for k := range all {
			all[k].x += (float64(i)+0.5)*width - barRoom/2
			bar, err := barOf(all[k], width, look)
			if err != nil {
				return err
			}
			p.Add(bar)
			if k == 0 {
				l.add(s.Label, bar)
			}
		}
		if s.Low != "" {
			bars, err := errorBars(all, draw.LineStyle{Color: ink})
			if err != nil {
				return err
			}
			p.Add(bars)
		}
	}
	p.NominalX(categories...)
	p.X.Min, p.X.Max = -0.5, float64(len(categories))-0.5
	return nil
}

func barOf(d dot, width float64, look look) (*plotter.Polygon, error) {
	left, right := d.x-width/2, d.x+width/2
	bar, err := plotter.NewPolygon(plotter.XYs{{X: left}, {X: left, Y: d.y}, {X: right, Y: d.y}, {X: right}})
	if err != nil {
		return nil, err
	}
	bar.Color = look.color
	bar.LineStyle.Width = 0
	return bar, nil
}

// grid has lines across only: they carry the eye to the scale.
func grid() *plotter.Grid {
	g := plotter.NewGrid()
	g.Horizontal = draw.LineStyle{Color: gridInk, Width: vg.Points(0.6)}
	g.Vertical.Color = nil
	return g
}
