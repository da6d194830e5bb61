package plots

import (
	"image/color"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Sizes, in points.
const (
	widthDefault  = 560
	heightDefault = 330
	sideMin       = 100
	sideMax       = 5000
	margin        = 10
	titleSize     = 14
	textSize      = 12
	lineWidth     = 1.6
	markRadius    = 3.2
	capWidth      = 6
)

// seriesMax is how many series a figure may have.
const seriesMax = 14

// palette is that of Okabe and Ito without its yellow, which does not show on white.
//
// Source: M. Okabe, K. Ito, "Color Universal Design", 2008.
var palette = []color.RGBA{
	{R: 0x00, G: 0x72, B: 0xb2, A: 0xff}, // blue
	{R: 0xd5, G: 0x5e, B: 0x00, A: 0xff}, // vermilion
	{R: 0x00, G: 0x9e, B: 0x73, A: 0xff}, // green
	{R: 0xcc, G: 0x79, B: 0xa7, A: 0xff}, // purple
	{R: 0xe6, G: 0x9f, B: 0x00, A: 0xff}, // orange
	{R: 0x56, G: 0xb4, B: 0xe9, A: 0xff}, // sky
	{R: 0x00, G: 0x00, B: 0x00, A: 0xff}, // black
}

// marks go with the colours.
var marks = []draw.GlyphDrawer{
	draw.CircleGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{}, draw.RingGlyph{}, draw.TriangleGlyph{},
	draw.SquareGlyph{}, draw.CrossGlyph{},
}

var (
	ink     = color.RGBA{R: 0x22, G: 0x22, B: 0x22, A: 0xff}
	gridInk = color.RGBA{R: 0xdd, G: 0xdd, B: 0xdd, A: 0xff}
)

// look is how a series is drawn.
type look struct {
	color color.RGBA
	mark  draw.GlyphDrawer
}

// lookOf returns the look of the i-th series, from 0.
func lookOf(s *Series, i int) look {
	if s.Color > 0 {
		i = s.Color - 1
	}
	i %= len(palette)
	return look{palette[i], marks[i]}
}

func (l look) line() draw.LineStyle {
	return draw.LineStyle{Color: l.color, Width: vg.Points(lineWidth)}
}

func (l look) glyph() draw.GlyphStyle {
	return draw.GlyphStyle{Color: l.color, Radius: vg.Points(markRadius), Shape: l.mark}
}

// pale is the colour of a band.
func (l look) pale() color.Color {
	c := l.color
	return color.NRGBA{R: c.R, G: c.G, B: c.B, A: 0x40}
}

// sans is the font of all text. Its metrics are built in; a reader without it sees one of the same metrics.
func sans(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

// families replaces the font's name in the drawing by itself and what may stand for it.
var families = strings.NewReplacer("font-family:Liberation Sans;",
	"font-family:Liberation Sans,Arimo,Arial,Helvetica,sans-serif;")

// newPlot returns an empty plot in the style of all figures.
func newPlot(f *Figure) *plot.Plot {
	p := plot.New()
	p.Title.Text = f.Title
	p.Title.Padding = vg.Points(8)
	p.Title.TextStyle.Font = sans(titleSize)
	p.Title.TextStyle.Color = ink
	p.X.Label.Text, p.Y.Label.Text = f.X.text(), f.Y.text()
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Color, axis.Tick.Color = ink, ink
		axis.Label.TextStyle.Font, axis.Label.TextStyle.Color = sans(textSize), ink
		axis.Label.Padding = vg.Points(4)
		axis.Tick.Label.Font, axis.Tick.Label.Color = sans(textSize-1), ink
		axis.Tick.Length = vg.Points(5)
		axis.Tick.Marker = ticks{}
	}
	return p
}

// text is what stands beside the axis.
func (a Axis) text() string {
	if a.Unit == "" {
		return a.Label
	}
	return a.Label + " (" + a.Unit + ")"
}

// ticks are labelled at multiples of 1, 2 or 5 times a power of ten: as many as fit into ticksMax.
type ticks struct{}

const ticksMax = 7

// Ticks implements plot.Ticker.
func (ticks) Ticks(low, high float64) []plot.Tick {
	var all []plot.Tick
	step := stepOf(low, high)
	for i := math.Ceil(low/step - slack); i <= high/step+slack; i++ {
		all = append(all, plot.Tick{Value: i * step, Label: grouped(i * step)})
	}
	return all
}

// slack lets an end that is a multiple but for rounding count as one.
const slack = 1e-9

// stepOf is the distance of the ticks of an axis.
func stepOf(low, high float64) float64 {
	if high <= low {
		return 1
	}
	step := math.Pow(10, math.Floor(math.Log10((high-low)/ticksMax)))
	for _, factor := range []float64{1, 2, 5} {
		if (high-low)/(step*factor) <= ticksMax-1 {
			return step * factor
		}
	}
	if (high-low)/(step*10) > ticksMax-2*slack { // seven steps, but for rounding
		return step * 20
	}
	return step * 10
}

// roundUp is the first multiple of the step at high or above.
func roundUp(low, high float64) float64 {
	step := stepOf(low, high)
	return math.Ceil(high/step-slack) * step
}

// grouped writes v with at most 9 significant digits, and a comma before each three digits of its whole part.
func grouped(v float64) string {
	if v != 0 && (math.Abs(v) >= 1e15 || math.Abs(v) < 1e-6) {
		return strconv.FormatFloat(v, 'g', 6, 64)
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 9, 64), 64)
	whole, part, fraction := strings.Cut(strconv.FormatFloat(math.Abs(rounded), 'f', -1, 64), ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction {
		whole += "." + part
	}
	if rounded < 0 {
		whole = "-" + whole
	}
	return whole
}
