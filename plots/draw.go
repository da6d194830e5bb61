package plots

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// DrawAll draws the figures of every folder at root and below that has a file SpecName, and returns their
// names in order. It stops at the first fault; what was drawn before stays.
func DrawAll(root string) ([]string, error) {
	var drawn []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() != SpecName {
			return err
		}
		spec, err := ReadSpec(name)
		if err != nil {
			return err
		}
		for i := range spec.Figures {
			f := &spec.Figures[i]
			svg, err := f.Draw(filepath.Dir(name))
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			file := filepath.Join(filepath.Dir(name), f.File)
			if err := os.WriteFile(file, svg, 0o644); err != nil {
				return err
			}
			drawn = append(drawn, file)
		}
		return nil
	})
	return drawn, err
}

// Draw returns the figure as SVG, from its data file in folder. f must be valid, as from ReadSpec.
// Errors: ErrData, those of the file.
func (f *Figure) Draw(folder string) ([]byte, error) {
	t, err := ReadTable(filepath.Join(folder, f.Data))
	if err != nil {
		return nil, fmt.Errorf("figure %q: %w", f.File, err)
	}
	if f, err = f.present(t); err != nil {
		return nil, fmt.Errorf("figure %q: %w", f.File, err)
	}
	p, legend := newPlot(f), newLegend()
	p.Add(grid())
	if f.Kind == Bars {
		err = f.bars(t, p, &legend)
	} else {
		err = f.lines(t, p, &legend)
	}
	if err != nil {
		return nil, fmt.Errorf("figure %q: %w", f.File, err)
	}
	if err := f.ranges(p); err != nil {
		return nil, fmt.Errorf("figure %q: %w", f.File, err)
	}
	return f.render(p, &legend)
}

// present returns the figure without the optional series that have no data. The others keep their colours.
func (f *Figure) present(t *Table) (*Figure, error) {
	there := *f
	there.Series = nil
	for i, s := range f.Series {
		rows, err := t.find(s.Where)
		if err != nil {
			return f, err
		}
		if s.Color == 0 {
			s.Color = i%len(palette) + 1
		}
		if len(rows) > 0 || !s.Optional {
			there.Series = append(there.Series, s)
		}
	}
	return &there, nil
}

// ranges sets what the description says of the axes. Otherwise x is as wide as the data; y begins at 0, or at
// a tick if there are numbers below, and ends at a tick.
func (f *Figure) ranges(p *plot.Plot) error {
	p.Y.Min = min(p.Y.Min, 0)
	low, high := p.Y.Min, p.Y.Max
	p.Y.Min, p.Y.Max = -roundUp(-high, -low), roundUp(low, high)
	for _, axis := range []struct {
		name string
		of   *plot.Axis
		spec Axis
	}{{"x", &p.X, f.X.Axis}, {"y", &p.Y, f.Y}} {
		if axis.spec.Min != nil {
			axis.of.Min = *axis.spec.Min
		}
		if axis.spec.Max != nil {
			axis.of.Max = *axis.spec.Max
		}
		if axis.of.Min > axis.of.Max {
			return fmt.Errorf("%w: axis %s from %g to %g", ErrData, axis.name, axis.of.Min, axis.of.Max)
		}
	}
	return nil
}

// legend stands beside the plot, so that it hides nothing.
type legend struct {
	plot.Legend
	entries int
}

func newLegend() legend {
	l := legend{Legend: plot.NewLegend()}
	l.TextStyle.Font, l.TextStyle.Color = sans(textSize), ink
	l.Top, l.Left = true, true
	l.Padding = vg.Points(6)
	l.ThumbnailWidth = vg.Points(24)
	return l
}

func (l *legend) add(name string, icons ...plot.Thumbnailer) {
	if name != "" {
		l.Add(name, icons...)
		l.entries++
	}
}

// render draws the plot, and the legend at its right side.
func (f *Figure) render(p *plot.Plot, l *legend) ([]byte, error) {
	side := func(length, otherwise float64) vg.Length {
		if length == 0 {
			length = otherwise
		}
		return vg.Points(length)
	}
	svg := vgsvg.New(side(f.Width, widthDefault), side(f.Height, heightDefault))
	all := draw.New(svg)
	all.SetColor(p.BackgroundColor)
	all.Fill(all.Rectangle.Path())
	area := draw.Crop(all, margin, -margin, margin, -margin)
	if l.entries > 0 {
		box := l.Rectangle(area).Size()
		top := p.Title.TextStyle.Height(p.Title.Text) + p.Title.Padding
		l.Draw(draw.Crop(area, area.Size().X-box.X-margin/2, 0, 0, -top))
		area = draw.Crop(area, 0, -box.X-2*margin, 0, 0)
	}
	p.Draw(area)
	var b bytes.Buffer
	if _, err := svg.WriteTo(&b); err != nil {
		return nil, err
	}
	return []byte(families.Replace(b.String())), nil
}
