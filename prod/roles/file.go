package roles

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/pelletier/go-toml/v2"

	"granary/core/layout"
	"granary/core/rt"
	"granary/prod/config"
)

const (
	// FileMax is the longest file, in bytes.
	FileMax = 16 << 20
	// faultsMax bounds the faults that are reported of one file.
	faultsMax = 50
)

// File is a description of a cluster.
type File struct {
	Params layout.Params
	Nodes  []Node // in the order of the file
}

// Node is a node of a File.
type Node struct {
	Name     string
	Zone     string
	Capacity uint64 // bytes; 0 is a gateway
}

// Roles returns the roles of the nodes, whose ids follow from their names.
func (f *File) Roles() []layout.Role {
	list := make([]layout.Role, len(f.Nodes))
	for i, n := range f.Nodes {
		list[i] = layout.Role{Node: layout.NamedNode(n.Name), Zone: layout.ZoneName(n.Zone),
			Capacity: n.Capacity}
	}
	return list
}

// Names returns what the ids of the nodes are called.
func (f *File) Names() map[rt.NodeID]string {
	names := map[rt.NodeID]string{}
	for _, n := range f.Nodes {
		names[layout.NamedNode(n.Name)] = n.Name
	}
	return names
}

// Parse reads a file; path is for messages.
//
// Errors: every fault of the file, up to a limit.
func Parse(path string, raw []byte) (*File, error) {
	if len(raw) > FileMax {
		return nil, fmt.Errorf("%s: %d bytes: want at most %d", path, len(raw), FileMax)
	}
	p := &parser{path: path, faults: map[place]string{}}
	values := map[string]any{}
	if err := toml.Unmarshal(raw, &values); err != nil {
		at := place{1, 1}
		var where *toml.DecodeError
		if errors.As(err, &where) {
			at.line, at.column = where.Position()
		}
		p.fault(at, "not TOML: %s", strings.TrimPrefix(err.Error(), "toml: "))
		return nil, p.join()
	}
	p.keys = positions(raw)
	f := &File{Params: layout.DefaultParams()}
	p.params(values, &f.Params)
	p.nodes(values, f)
	p.unknown()
	return f, p.join()
}

// place is a position in the file, from 1.
type place struct{ line, column int }

// parser gathers the faults of one file.
type parser struct {
	path   string
	keys   map[string]place // by dotted name; nodes are numbered: node.0.zone
	faults map[place]string
	more   int
}

func (p *parser) fault(at place, format string, args ...any) {
	if _, ok := p.faults[at]; !ok && len(p.faults) == faultsMax {
		p.more++
		return
	}
	text := fmt.Sprintf("%s:%d:%d: %s", p.path, at.line, at.column, fmt.Sprintf(format, args...))
	if before, ok := p.faults[at]; ok {
		text = before + "\n" + text
	}
	p.faults[at] = text
}

// join returns all faults in the order of the file.
func (p *parser) join() error {
	var lines []error
	places := make([]place, 0, len(p.faults))
	for at := range p.faults {
		places = append(places, at)
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	for _, at := range places {
		lines = append(lines, errors.New(p.faults[at]))
	}
	if p.more > 0 {
		lines = append(lines, fmt.Errorf("%s: and %d more", p.path, p.more))
	}
	return errors.Join(lines...)
}

// at is where a key stands, or the innermost table around it that the file has.
func (p *parser) at(name string) place {
	for name != "" {
		if at, ok := p.keys[name]; ok {
			return at
		}
		name = name[:max(strings.LastIndexByte(name, '.'), 0)]
	}
	return place{1, 1}
}

// fileKeys and nodeKeys are the keys that there are.
var (
	fileKeys = []string{"replicas", "min_zones", "min_regions", "partitions", "tolerance", "node"}
	nodeKeys = []string{"name", "zone", "capacity"}
)

// unknown reports keys that are none.
func (p *parser) unknown() {
	for _, name := range slices.Sorted(maps.Keys(p.keys)) {
		parts := strings.Split(name, ".")
		known := slices.Contains(fileKeys, parts[0])
		list := fileKeys
		if parts[0] == "node" {
			switch list = nodeKeys; len(parts) {
			case 2:
				_, err := strconv.Atoi(parts[1])
				known = err == nil
			case 3:
				known = slices.Contains(nodeKeys, parts[2])
			}
		}
		if !known {
			p.fault(p.keys[name], "%s: no such key; there are %s", parts[len(parts)-1],
				strings.Join(list, ", "))
		}
	}
}

func (p *parser) params(values map[string]any, out *layout.Params) {
	for _, k := range []struct {
		name     string
		to       *int
		min, max int
		what     string
	}{
		{"replicas", &out.Replicas, 1, layout.ReplicasMax, "copies of each partition"},
		{"min_zones", &out.MinZones, 0, layout.ReplicasMax, "zones among them, or 0: as many as there are"},
		{"min_regions", &out.MinRegions, 0, layout.ReplicasMax, "regions among them, or 0: no matter which"},
		{"partitions", &out.Partitions, 1, layout.PartitionsMax, "a power of two, at least 12 per node"},
	} {
		v, ok := values[k.name]
		if !ok {
			continue
		}
		n, isInt := v.(int64)
		if !isInt || n < int64(k.min) || n > int64(k.max) {
			p.fault(p.at(k.name), "%s = %.40s: want a whole number from %d to %d: %s", k.name,
				fmt.Sprint(v), k.min, k.max, k.what)
			continue
		}
		*k.to = int(n)
	}
	if v, ok := values["tolerance"]; ok {
		t, err := tolerance(v)
		if err != nil {
			p.fault(p.at("tolerance"), "%v", err)
		}
		out.Tolerance = int(t)
	}
	if n := out.Partitions; n&(n-1) != 0 {
		p.fault(p.at("partitions"), "partitions = %d: want a power of two: %d or %d", n, floor2(n),
			2*floor2(n))
	}
	if out.MinRegions > out.Replicas {
		p.fault(p.at("min_regions"), "min_regions = %d: want at most the replicas, %d", out.MinRegions,
			out.Replicas)
	}
	if out.MinZones > out.Replicas {
		p.fault(p.at("min_zones"), "min_zones = %d: want at most the replicas, %d, or 0 for as many zones "+
			"as there are", out.MinZones, out.Replicas)
	}
}

// floor2 is the greatest power of two up to n.
func floor2(n int) int {
	p := 1
	for p <= n/2 {
		p *= 2
	}
	return p
}

// tolerance reads a value of the file.
func tolerance(v any) (Tolerance, error) {
	switch t := v.(type) {
	case string:
		return ParseTolerance(t)
	case int64:
		return ParseTolerance(strconv.FormatInt(t, 10))
	case float64:
		if t >= 0 && t <= 1 {
			if n := math.Round(t * 1e4); math.Abs(n-t*1e4) < 1e-6 {
				return ParseTolerance(strconv.FormatFloat(n/1e4, 'f', 4, 64))
			}
		}
		return ParseTolerance(strconv.FormatFloat(t, 'f', -1, 64))
	}
	return ParseTolerance(fmt.Sprint(v))
}

func (p *parser) nodes(values map[string]any, f *File) {
	list, ok := values["node"].([]any)
	if _, any := values["node"]; !ok && any {
		p.fault(p.at("node"), "node: want one table for each node, headed [[node]]")
		return
	}
	if len(list) == 0 {
		p.fault(place{1, 1}, "no nodes: add a table [[node]] with name, zone and capacity for each")
	}
	first := map[string]int{}
	for i, v := range list {
		where := fmt.Sprintf("node.%d", i)
		table, ok := v.(map[string]any)
		if !ok {
			p.fault(p.at(where), "node %d: want a table with name, zone and capacity", i+1)
			continue
		}
		n := p.node(where, i, table)
		if before, twice := first[n.Name]; twice && n.Name != "" {
			p.fault(p.at(where+".name"), "name = %q: the node at line %d is called so: give each another",
				n.Name, p.at(fmt.Sprintf("node.%d", before)).line)
		}
		first[n.Name] = i
		f.Nodes = append(f.Nodes, n)
	}
}

func (p *parser) node(where string, i int, table map[string]any) (n Node) {
	what := fmt.Sprintf("node %d", i+1)
	if name, ok := table["name"].(string); ok && name != "" {
		what = fmt.Sprintf("node %.40q", name)
	}
	text := func(key, remedy string) string {
		v, ok := table[key]
		s, isText := v.(string)
		switch {
		case !ok:
			p.fault(p.at(where), "%s has no %s: %s", what, key, remedy)
		case !isText || s == "" || len(s) > layout.NameMax || strings.TrimSpace(s) != s ||
			strings.ContainsFunc(s, unicode.IsControl):
			p.fault(p.at(where+"."+key), "%s: %s = %.80q: want a text of 1 to %d bytes without space "+
				"around it or control characters", what, key, fmt.Sprint(v), layout.NameMax)
		}
		return s
	}
	n.Name = text("name", `add one, as in name = "celeri"`)
	n.Zone = text("zone", `add the place it shares its fate with, as in zone = "neptune"`)
	v, ok := table["capacity"]
	if !ok {
		p.fault(p.at(where), `%s has no capacity: add one, as in capacity = "5T"; 0 is a gateway`, what)
		return n
	}
	capacity, err := capacity(v)
	if err != nil {
		p.fault(p.at(where+".capacity"), "%s: capacity: %v", what, err)
	}
	n.Capacity = capacity
	return n
}

// capacity reads a value of the file.
func capacity(v any) (uint64, error) {
	var size config.Size
	switch c := v.(type) {
	case int64:
		size = config.Size(c)
	case float64:
		if c != math.Trunc(c) || math.Abs(c) > layout.CapacityMax {
			return 0, fmt.Errorf("%v: want a whole number of bytes, at most %v", c,
				config.Size(layout.CapacityMax))
		}
		size = config.Size(c)
	case string:
		var err error
		if size, err = config.ParseSize(c); err != nil {
			return 0, err
		}
	default:
		return 0, fmt.Errorf("%.40s: want a whole number of bytes, or a text like \"500G\", \"1.5T\"",
			fmt.Sprint(v))
	}
	if size < 0 || size > layout.CapacityMax {
		return 0, fmt.Errorf("%d: want 0 to %v bytes", int64(size), config.Size(layout.CapacityMax))
	}
	return uint64(size), nil
}
