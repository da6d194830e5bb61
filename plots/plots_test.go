package plots_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"granary/plots"
)

var update = flag.Bool("update", false, "draw the figures of testdata anew instead of comparing them")

// Same data, same bytes: the figures of testdata and of all experiments are what their files give.
func TestFiguresAreOfTheirData(t *testing.T) {
	if *update {
		if _, err := plots.DrawAll("testdata"); err != nil {
			t.Fatal(err)
		}
	}
	drawn := 0
	for _, root := range []string{"testdata", "../experiments"} {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == plots.SpecName {
				drawn += compare(t, name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if drawn < 2 {
		t.Errorf("%d figures compared, testdata alone has 2", drawn)
	}
}

func compare(t *testing.T, spec string) int {
	s, err := plots.ReadSpec(spec)
	if err != nil {
		t.Error(err)
		return 0
	}
	for i := range s.Figures {
		got, err := s.Figures[i].Draw(filepath.Dir(spec))
		if err != nil {
			t.Error(err)
			continue
		}
		file := filepath.Join(filepath.Dir(spec), s.Figures[i].File)
		want, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what its data gives now; run go run ./plots/cmd/plots %s", file,
				filepath.Dir(spec))
		}
	}
	return len(s.Figures)
}

// texts returns the text elements of a drawing, and how often each other element occurs.
func texts(t *testing.T, svg []byte) (all []string, elements map[string]int) {
	t.Helper()
	elements = map[string]int{}
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := d.Token()
		if err == io.EOF {
			return all, elements
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		elements[start.Name.Local]++
		if start.Name.Local == "text" {
			var text string
			if err := d.DecodeElement(&text, &start); err != nil {
				t.Fatal(err)
			}
			all = append(all, text)
		}
	}
}

// A drawing says what its axes are, with units, and names its series; text is escaped.
func TestText(t *testing.T) {
	s, err := plots.ReadSpec("testdata/small/figures.toml")
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"Latency by distance", "distance (km)", "latency (ms)", "read", "write <fsync>", "0", "400", "60"},
		{"Latency without distance", "disk and operation", "latency (ms)", "local", "hdd, read", "hdd, write",
			"ssd, read", "ssd, write", "0", "12"},
	}
	for i := range s.Figures {
		svg, err := s.Figures[i].Draw("testdata/small")
		if err != nil {
			t.Fatal(err)
		}
		got, _ := texts(t, svg)
		all := "\n" + strings.Join(got, "\n") + "\n"
		for _, text := range want[i] {
			if !strings.Contains(all, "\n"+text+"\n") {
				t.Errorf("%s has no text %q, only %q", s.Figures[i].File, text, got)
			}
		}
	}
}

// folder makes a folder of a description and data, from the valid ones by replacing text.
func folder(t *testing.T, spec, data func(string) string) string {
	t.Helper()
	dir := t.TempDir()
	for name, change := range map[string]func(string) string{plots.SpecName: spec, "data.csv": data} {
		b, err := os.ReadFile("testdata/small/" + name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		if change != nil {
			if text = change(text); text == string(b) {
				t.Fatalf("the change of %s changes nothing", name)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func swap(old, text string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, text, 1) }
}

// Bad data is refused with file and line.
func TestBadData(t *testing.T) {
	for _, c := range []struct {
		name string
		data func(string) string
		want []string
	}{
		{"not a number", swap("7.5", "fast"), []string{"data.csv:3:", `"mean" is "fast"`}},
		{"not finite", swap("7.5", "NaN"), []string{"data.csv:3:", "finite"}},
		{"out of order", swap("7.5,5,12", "7.5,8,12"),
			[]string{"data.csv:3:", "least, mean, most are 8, 7.5, 12"}},
		{"too few fields", swap("read,100,hdd,7.5,5,12", "read,100"), []string{"data.csv:3:", "2 fields"}},
		{"open quote", swap("read,400", `"read,400`), []string{"data.csv:", "quote"}},
		{"twice", swap("write,400,", "write,0,"),
			[]string{"data.csv:6:", "same x as line 5", "write <fsync>"}},
		{"no such row", func(s string) string { return strings.ReplaceAll(s, "write,", "wrote,") },
			[]string{"data.csv", "no line with", "operation:write"}},
		{"no such column", swap("least", "lowest"), []string{"data.csv", `no column "least"`, "lowest"}},
		{"unnamed column", swap("least", ""), []string{"data.csv:1:", "column 5"}},
		{"column twice", swap("least", "mean"), []string{"data.csv:1:", "column 5"}},
		{"empty", func(string) string { return "" }, []string{"data.csv", "column names"}},
		{"only names", func(s string) string { return s[:strings.Index(s, "\n")+1] },
			[]string{"data.csv", "at least one more"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := plots.DrawAll(folder(t, nil, c.data))
			refused(t, err, plots.ErrData, c.want)
		})
	}
}

// Bad descriptions are refused with file, and line where there is one; all faults at once.
func TestBadSpec(t *testing.T) {
	for _, c := range []struct {
		name string
		spec func(string) string
		want []string
	}{
		{"syntax", swap(`file = "lines.svg"`, `file = lines.svg`), []string{"figures.toml:2:"}},
		{"unknown", swap(`title =`, `titel =`), []string{"figures.toml:5:", "titel"}},
		{"type", swap(`km = "0"`, `km = 0`), []string{"figures.toml:39:", "integer"}},
		{"several", func(s string) string {
			return strings.NewReplacer(`kind = "lines"`, `kind = "pie"`, `"band"`, `"cloud"`,
				"420", "42").Replace(s)
		}, []string{"figures.toml", `kind is "pie"`, `spread "cloud"`, "side of 42 points", `"bars.svg"`}},
		{"folders", swap("lines.svg", "../lines.svg"), []string{"want NAME.svg"}},
		{"same file", swap("bars.svg", "lines.svg"), []string{"two figures"}},
		{"half a spread", swap("low = \"least\"\n", ""), []string{"one of low and high"}},
		{"x of bars", swap(`category = "{disk}, {operation}"`, `column = "km"`),
			[]string{"bars want x.category"}},
		{"no figure", func(string) string { return "" }, []string{"no [[figure]]"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := plots.DrawAll(folder(t, c.spec, nil))
			refused(t, err, plots.ErrSpec, c.want)
		})
	}
	for _, c := range []struct {
		name string
		spec func(string) string
		want []string
	}{
		{"open category", swap("{operation}", "{operation"), []string{"without its }"}},
		{"category of no column", swap("{operation}", "{size}"), []string{`no column "size"`}},
		{"where of no column", swap("km =", "miles ="), []string{`no column "miles"`}},
		{"empty range", swap("max = 60", "max = -60"), []string{"axis y from 0 to -60"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := plots.DrawAll(folder(t, c.spec, nil))
			refused(t, err, plots.ErrData, append(c.want, "figures.toml"))
		})
	}
}

func refused(t *testing.T, err, kind error, words []string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("got %v, want %v", err, kind)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not have %q:\n%v", word, err)
		}
	}
}

// An optional series without data is not drawn, and categories that are not among the chosen ones are not
// either.
func TestLeftOut(t *testing.T) {
	folder := t.TempDir()
	data := "fruit,colour,mass\npear,green,3\nplum,blue,1\npear,red,4\nfig,green,2\n"
	if err := os.WriteFile(filepath.Join(folder, "data.csv"), []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	series := func(label, colour string) plots.Series {
		return plots.Series{Label: label, Where: map[string]string{"colour": colour}, Y: "mass"}
	}
	f := plots.Figure{File: "f.svg", Data: "data.csv", Kind: plots.Bars, Title: "mass",
		X: plots.XAxis{Axis: plots.Axis{Label: "fruit"}, Category: "{fruit}",
			Only: []string{"plum", "pear"}},
		Y:      plots.Axis{Label: "mass"},
		Series: []plots.Series{series("greenish", "green"), series("none", "grey")}}
	if _, err := f.Draw(folder); !errors.Is(err, plots.ErrData) {
		t.Errorf("a series without data: %v, want ErrData", err)
	}
	f.Series[1].Optional = true
	svg, err := f.Draw(folder)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"plum": true, "pear": true, "fig": false, "greenish": true,
		"none": false} {
		if got := bytes.Contains(svg, []byte(">"+text+"<")); got != want {
			t.Errorf("the figure has %q: %t, want %t", text, got, want)
		}
	}
}
