package netsim

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const whole = `
name = "whole"

[between]
delay = "50ms"
jitter = "10ms"
bandwidth = "200Mbit/s"

[inside]
delay = "0.25ms"

[[zone]]
name = "paris"
up = "1Gbit/s"
down = "2Gbit/s"
[[zone]]
name = "lille"

[[node]]
name = "p1"
zone = "paris"
address = "10.0.0.1"
[[node]]
name = "l1"
zone = "lille"

[[link]]
from = "p1"
to = "l1"
loss = "0.5%"

[[link]]
from = "paris"
to = "lille"
both = true
delay = "5ms"
jitter = "0"

[[link]]
from = "paris"
to = "paris"
bandwidth = "10Gbit/s"
`

func TestParse(t *testing.T) {
	got, err := Parse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	short := Path{Delay: 5 * ms, Bandwidth: 200e6}
	want := Topology{
		Name:    "whole",
		Zones:   []Zone{{Name: "paris", Up: 1e9, Down: 2e9}, {Name: "lille"}},
		Nodes:   []Node{{Name: "p1", Zone: "paris", Address: "10.0.0.1"}, {Name: "l1", Zone: "lille"}},
		Between: Path{Delay: 50 * ms, Jitter: 10 * ms, Bandwidth: 200e6},
		Inside:  Path{Delay: 250 * time.Microsecond},
		Links: []Link{
			{From: "paris", To: "lille", Path: short},
			{From: "lille", To: "paris", Path: short},
			{From: "paris", To: "paris", Path: Path{Delay: 250 * time.Microsecond, Bandwidth: 10e9}},
			{From: "p1", To: "l1", Path: Path{Delay: 5 * ms, Loss: 5000}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseNamesEveryFault(t *testing.T) {
	for _, c := range []struct {
		name, file string
		want       []string
	}{
		{"unknown keys", "nam = 1\n[between]\nlatency = \"1ms\"\n[[zone]]\nname = \"a\"\nregion = 2\n",
			[]string{`line 1, column 1: unknown key "nam"`, `line 3, column 1: unknown key "between.latency"`,
				`line 6, column 1: unknown key "zone.region"`}},
		{"a float", "[between]\ndelay = 0.5\n", []string{"line 2, column 9"}},
		{"no TOML", "[between\n", []string{"line 1"}},
		{"quantities", `[between]
delay = "5"
jitter = "0.5ns"
loss = "1.23456%"
bandwidth = "1Tbit/s"`,
			[]string{`between: delay: "5": want a number and a unit (h, m, s, ms, us, ns)`,
				`between: jitter: "0.5ns": too large, or not a whole number of ns`,
				`between: loss: "1.23456%": too large, or not a whole number of ppm`,
				`between: bandwidth: "1Tbit/s": unknown unit "Tbit/s"`}},
		{"values", "[between]\ndelay = \"2h\"\njitter = \"3h\"\nloss = \"101%\"\nbandwidth = \"1bit/s\"\n",
			[]string{"between: delay 2h0m0s, want 0 to 1h0m0s",
				"between: jitter 3h0m0s, want 0 to the delay, 2h0m0s",
				"between: loss 1010000 ppm", "between: bandwidth: 1 bit/s, want 1000 to 1000000000000"}},
		{"names", `zone = [{name = "a"}, {name = "a"}, {name = "*"}, {name = "b c"}]
node = [{name = "a", zone = "a"}, {name = "n", zone = "x"}, {name = "m", zone = "a", address = "n"}]
link = [{from = "a", to = "q"}, {from = "n", to = "a"}, {from = "n", to = "n"},
  {from = "a", to = "a"}, {from = "a", to = "a"}]`,
			[]string{`zone "a": the name is taken by a zone`, `zone "*": a name is`, `zone "b c": a name is`,
				`node "a": the name is taken by a zone`, `node "n": zone "x" is not declared`,
				`node "m": address "n" is that of node "n"`, `link "a" to "q": "q" is not declared`,
				`link "n" to "a": joins a node and a zone`, `link "n" to "n": joins a node to itself`,
				`link "a" to "a": declared twice`}},
		{"size", strings.Repeat("#", FileMax+1), []string{"at most 1048576"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			topo, err := Parse([]byte(c.file))
			if !errors.Is(err, ErrTopology) {
				t.Fatalf("got %v and %v, want ErrTopology", topo, err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in\n%v", want, err)
				}
			}
		})
	}
}

func TestQuantityIsExact(t *testing.T) {
	for _, c := range []struct {
		s     string
		units []unit
		want  int64
	}{
		{"0", timeUnits, 0}, {"0.25ms", timeUnits, 250_000}, {"1.000000001s", timeUnits, 1_000_000_001},
		{"0.1%", lossUnits, 1000}, {"0.0001%", lossUnits, 1}, {"7ppm", lossUnits, 7},
		{"2.5Gbit/s", rateUnits, 2_500_000_000}, {"10kbit/s", rateUnits, 10_000},
	} {
		if got, err := quantity(c.s, c.units); got != c.want || err != nil {
			t.Errorf("%q: %d, %v; want %d", c.s, got, err, c.want)
		}
	}
	for _, s := range []string{
		"", "ms", ".ms", "1.ms", ".5ms", "1..2ms", "-1ms", "1 ms", "99999999999h", "1e3ms", "1,5ms",
	} {
		if got, err := quantity(s, timeUnits); err == nil {
			t.Errorf("%q: taken for %d", s, got)
		}
	}
}

// What a quantity prints as is read back as the same.
func TestQuantitiesPrintWhatTheyRead(t *testing.T) {
	for _, v := range []int64{1, 999, 1000, 10_000, 123_456, 1e6, 25e8} {
		if got, err := quantity(Loss(v).String(), lossUnits); got != v || err != nil {
			t.Errorf("%v: %d, %v", Loss(v), got, err)
		}
		if got, err := quantity(Rate(v).String(), rateUnits); got != v || err != nil {
			t.Errorf("%v: %d, %v", Rate(v), got, err)
		}
	}
}

// Whatever Parse takes is valid and makes a model.
func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	for _, name := range Presets() {
		data, err := os.ReadFile("presets/" + name + ".toml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("[between]\ndelay = \"1.5ms\"\nloss = \"0.5%\"\n[[link]]\nfrom = \"\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		topo, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrTopology) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		m, err := NewModel(topo)
		if err != nil {
			t.Fatalf("taken by Parse, refused by NewModel: %v", err)
		}
		if n := len(topo.Nodes); n > 0 {
			draw := seeded(1)
			if _, _, err := m.Send(0, topo.Nodes[0].Name, topo.Nodes[n-1].Name, 100, draw); err != nil {
				t.Fatal(err)
			}
		}
	})
}
