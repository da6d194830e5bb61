package netsim

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// The file as TOML has it. Quantities are strings with a unit, so that no float is ever read; nil is left
// out.
type (
	file struct {
		Name    string     `toml:"name"`
		Between filePath   `toml:"between"`
		Inside  filePath   `toml:"inside"`
		Zone    []fileZone `toml:"zone"`
		Node    []fileNode `toml:"node"`
		Link    []fileLink `toml:"link"`
	}
	filePath struct {
		Delay     *string `toml:"delay"`
		Jitter    *string `toml:"jitter"`
		Loss      *string `toml:"loss"`
		Bandwidth *string `toml:"bandwidth"`
	}
	fileZone struct {
		Name string  `toml:"name"`
		Up   *string `toml:"up"`
		Down *string `toml:"down"`
	}
	fileNode struct {
		Name    string `toml:"name"`
		Zone    string `toml:"zone"`
		Address string `toml:"address"`
	}
	fileLink struct {
		From      string  `toml:"from"`
		To        string  `toml:"to"`
		Both      bool    `toml:"both"`
		Delay     *string `toml:"delay"`
		Jitter    *string `toml:"jitter"`
		Loss      *string `toml:"loss"`
		Bandwidth *string `toml:"bandwidth"`
	}
)

// Parse reads a topology file.
//
// Format: TOML. [between] and [inside] give delay, jitter, loss and bandwidth (absent: 0, and no limit);
// [[zone]] has name, up, down; [[node]] has name, zone, address; [[link]] has from, to, both (the same in the
// other direction) and those values of the path that differ: what is absent is inherited, by a link of zones
// from [between] or [inside], by a link of nodes from their zones, save the bandwidth. Quantities are
// strings: "50ms", "0.1%", "200Mbit/s"; their units are h m s ms us ns, % ppm, Gbit/s Mbit/s kbit/s bit/s.
//
// Errors: ErrTopology. Unknown keys are named with their lines; all faults of the values come in one error.
func Parse(data []byte) (Topology, error) {
	if len(data) > FileMax {
		return Topology{}, fmt.Errorf("topology of %d bytes: %w: at most %d", len(data), ErrTopology, FileMax)
	}
	var f file
	var c checker
	dec := toml.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err := dec.Decode(&f)
	if strict := (*toml.StrictMissingError)(nil); errors.As(err, &strict) {
		for _, e := range strict.Errors {
			row, col := e.Position()
			c.fault("line %d, column %d: unknown key %q", row, col, strings.Join(e.Key(), "."))
		}
	} else if bad := (*toml.DecodeError)(nil); errors.As(err, &bad) {
		row, col := bad.Position()
		c.fault("line %d, column %d: %v", row, col, bad)
		return Topology{}, c.result(f.Name)
	} else if err != nil {
		return Topology{}, fmt.Errorf("topology: %w: %w", ErrTopology, err)
	}
	t := c.topology(f)
	if err := errors.Join(c.result(f.Name), t.Validate()); err != nil {
		return Topology{}, err
	}
	return t, nil
}

// topology converts f, gathering what cannot be read.
func (c *checker) topology(f file) Topology {
	t := Topology{Name: f.Name}
	t.Between = c.inherit("between", f.Between, Path{})
	t.Inside = c.inherit("inside", f.Inside, Path{})
	zoneOf := map[string]string{}
	for _, z := range f.Zone {
		what := fmt.Sprintf("zone %q", z.Name)
		zone := Zone{Name: z.Name}
		read(c, what+": up", z.Up, rateUnits, &zone.Up)
		read(c, what+": down", z.Down, rateUnits, &zone.Down)
		t.Zones = append(t.Zones, zone)
	}
	for _, n := range f.Node {
		t.Nodes = append(t.Nodes, Node(n))
		zoneOf[n.Name] = n.Zone
	}
	c.links(&t, f.Link, zoneOf)
	return t
}

// links converts the links of zones first, for those of nodes inherit from them.
func (c *checker) links(t *Topology, links []fileLink, zoneOf map[string]string) {
	zones := map[[2]string]Path{}
	for _, ofNodes := range []bool{false, true} {
		for _, l := range links {
			if _, is := zoneOf[l.From]; is != ofNodes {
				continue
			}
			for _, ends := range l.directions() {
				from, to, base := ends[0], ends[1], Path{}
				if ofNodes {
					base = t.base(zones, zoneOf[from], zoneOf[to])
					base.Bandwidth = 0
				} else {
					base = t.base(nil, from, to)
				}
				path := c.inherit(fmt.Sprintf("link %q to %q", from, to), l.path(), base)
				t.Links = append(t.Links, Link{From: from, To: to, Path: path})
				if !ofNodes {
					zones[ends] = path
				}
			}
		}
	}
}

// base is the path between two zones, as a link of theirs or the defaults have it.
func (t *Topology) base(links map[[2]string]Path, from, to string) Path {
	if p, ok := links[[2]string{from, to}]; ok {
		return p
	}
	if from == to {
		return t.Inside
	}
	return t.Between
}

func (l fileLink) path() filePath { return filePath{l.Delay, l.Jitter, l.Loss, l.Bandwidth} }

func (l fileLink) directions() [][2]string {
	if l.Both && l.From != l.To {
		return [][2]string{{l.From, l.To}, {l.To, l.From}}
	}
	return [][2]string{{l.From, l.To}}
}

// inherit returns base with the values that p gives.
func (c *checker) inherit(what string, p filePath, base Path) Path {
	read(c, what+": delay", p.Delay, timeUnits, &base.Delay)
	read(c, what+": jitter", p.Jitter, timeUnits, &base.Jitter)
	read(c, what+": loss", p.Loss, lossUnits, &base.Loss)
	read(c, what+": bandwidth", p.Bandwidth, rateUnits, &base.Bandwidth)
	return base
}

// With returns p with one setting changed: delay, jitter, loss or bandwidth, as in a topology file. Errors:
// ErrTopology.
func (p Path) With(setting, value string) (Path, error) {
	var c checker
	switch setting {
	case "delay":
		read(&c, setting, &value, timeUnits, &p.Delay)
	case "jitter":
		read(&c, setting, &value, timeUnits, &p.Jitter)
	case "loss":
		read(&c, setting, &value, lossUnits, &p.Loss)
	case "bandwidth":
		read(&c, setting, &value, rateUnits, &p.Bandwidth)
	default:
		c.fault("setting %q: want delay, jitter, loss or bandwidth", setting)
	}
	return p, c.result("")
}

// read stores the quantity s, if there is one.
func read[T ~int64](c *checker, what string, s *string, units []unit, to *T) {
	if s == nil {
		return
	}
	v, err := quantity(*s, units)
	if err != nil {
		c.fault("%s: %v", what, err)
		return
	}
	*to = T(v)
}
