package roles

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"granary/core/api/admin"
	"granary/core/layout"
	"granary/core/rt"
)

// previous is what is read of an admin.Simulation.
type previous struct {
	Version uint64 `json:"version"` // 0 is 1
	Split   uint8  `json:"split"`
	admin.Params
	// Nodes says where the nodes are and what they hold. A node that is not here is taken to be as in the
	// new description, and if it is not there either, in a zone of its own and large.
	Nodes []admin.Described `json:"nodes"`
	// Table has the names of the nodes of each partition.
	Table [][]string `json:"table"`
}

// ParsePrevious reads the table that a simulation printed; f is the new description, path for messages. The
// version it returns is good to follow, not to store; with it come the names of its nodes.
//
// Errors: the first fault.
func ParsePrevious(path string, raw []byte, f *File) (*layout.Version, map[rt.NodeID]string, error) {
	var t previous
	if err := json.Unmarshal(raw, &t); err != nil {
		offset := int64(0)
		var syntax *json.SyntaxError
		var kind *json.UnmarshalTypeError
		switch {
		case errors.As(err, &syntax):
			offset = syntax.Offset
		case errors.As(err, &kind):
			offset = kind.Offset
		}
		before := raw[:min(max(offset-1, 0), int64(len(raw)))]
		line := 1 + bytes.Count(before, []byte("\n"))
		return nil, nil, fmt.Errorf("%s:%d:%d: %w; want what granary layout simulate --json printed", path,
			line, len(before)-bytes.LastIndexByte(before, '\n'), err)
	}
	v, err := t.version(f)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w; want what granary layout simulate --json printed", path, err)
	}
	names := map[rt.NodeID]string{}
	for _, n := range t.Nodes {
		names[layout.NamedNode(n.Name)] = n.Name
	}
	for _, row := range t.Table {
		for _, name := range row {
			names[layout.NamedNode(name)] = name
		}
	}
	return v, names, nil
}

// version returns the table as a version.
func (t *previous) version(f *File) (*layout.Version, error) {
	if len(t.Table) == 0 {
		return nil, errors.New("table: it is absent or empty")
	}
	if t.Version > versionMax {
		return nil, fmt.Errorf("version: %d: want at most %d", t.Version, uint64(versionMax))
	}
	if t.foreign(f) {
		return nil, errors.New("table: none of its nodes is in the description: it is another cluster's")
	}
	v := &layout.Version{Number: max(t.Version, 1), Algorithm: layout.Algorithm, Split: t.Split}
	v.Params = layout.Params{
		Replicas: len(t.Table[0]), MinZones: t.MinZones, MinRegions: t.MinRegions, Partitions: len(t.Table),
		Tolerance: t.Tolerance}
	if v.Number > 1 {
		v.Parent[0] = 1 // of a version that is not known
	}
	if err := v.Params.Validate(); err != nil {
		return nil, fmt.Errorf("table of %d partitions with %d nodes in the first: %w", len(t.Table),
			len(t.Table[0]), err)
	}
	v.Roles = t.roles(f)
	if len(v.Roles) > layout.NodesMax {
		return nil, fmt.Errorf("%d nodes: at most %d", len(v.Roles), layout.NodesMax)
	}
	index := map[rt.NodeID]uint16{}
	for i, r := range v.Roles {
		if err := r.Validate(); err != nil {
			return nil, err
		}
		index[r.Node] = uint16(i)
	}
	for p, row := range t.Table {
		var entries []uint16
		for _, name := range row {
			entries = append(entries, index[layout.NamedNode(name)])
		}
		slices.Sort(entries)
		if len(entries) != v.Params.Replicas || len(slices.Compact(slices.Clone(entries))) != len(entries) {
			return nil, fmt.Errorf("table: partition %d is on %.200q: want %d nodes, each once", p, row,
				v.Params.Replicas)
		}
		v.Table = append(v.Table, entries...)
	}
	v.Size = uint64(layout.CapacityMax)
	for i, load := range v.Loads() {
		if load > 0 {
			v.Size = min(v.Size, v.Roles[i].Capacity/uint64(load))
		}
	}
	return v, nil
}

// versionMax bounds the number of a version that is read.
const versionMax = 1 << 62

// foreign reports whether no node of the table is in the new description, though that has nodes.
func (t *previous) foreign(f *File) bool {
	if len(f.Nodes) == 0 {
		return false
	}
	for _, row := range t.Table {
		for _, name := range row {
			if slices.ContainsFunc(f.Nodes, func(n Node) bool { return n.Name == name }) {
				return false
			}
		}
	}
	return true
}

// roles returns a role for every node of the table and of Nodes, ascending by id.
func (t *previous) roles(f *File) []layout.Role {
	known := map[string]layout.Role{}
	for _, n := range f.Nodes {
		known[n.Name] = layout.Role{Zone: layout.ZoneName(n.Zone), Capacity: n.Capacity}
	}
	in := map[rt.NodeID]layout.Role{}
	for _, n := range t.Nodes {
		known[n.Name] = layout.Role{Zone: layout.ZoneName(n.Zone), Capacity: n.Capacity}
		in[layout.NamedNode(n.Name)] = known[n.Name]
	}
	for _, row := range t.Table {
		for _, name := range row {
			r, ok := known[name]
			if !ok {
				r = layout.Role{Zone: layout.ZoneName(name)}
			}
			if r.Capacity == 0 { // not known, or it has become a gateway: what it had was enough
				r.Capacity = layout.CapacityMax
			}
			in[layout.NamedNode(name)] = r
		}
	}
	roles := make([]layout.Role, 0, len(in))
	for id, r := range in {
		r.Node = id
		roles = append(roles, r)
	}
	slices.SortFunc(roles, func(a, b layout.Role) int { return a.Node.Compare(b.Node) })
	return roles
}
