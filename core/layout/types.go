package layout

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"granary/core/rt"
)

// Limits of a layout.
const (
	// NodesMax is the most roles, since the table has 16-bit indices; the last index stays free.
	NodesMax = 65535
	// ReplicasMax is the most replicas of a partition.
	ReplicasMax = 16
	// PartitionsMax is the most partitions, since local keys begin with 16 bits of hash.
	PartitionsMax = 1 << prefixBits
	// PairsMax is the most partitions times zones: at so many a table takes some seconds, and 400 MB.
	PairsMax = 1 << 22
	// CapacityMax is the greatest capacity of a node, in bytes.
	CapacityMax = 1 << 60
	// ToleranceMax is the greatest tolerance, in ten-thousandths.
	ToleranceMax = 5000
	// NameMax is the longest zone name or tag, in bytes.
	NameMax = 64
	// TagsMax is the most tags of a node.
	TagsMax = 16
)

// ZoneName names a place that fails as a whole: a site, a room, a provider. Zones with the same text before a
// first slash, as in "eu/paris" and "eu/lyon", are in one region, and may fail together now and then.
type ZoneName string

// Region returns the region of the zone: the text before the first slash, all of it without one.
func (z ZoneName) Region() string {
	region, _, _ := strings.Cut(string(z), "/")
	return region
}

// Hash is the BLAKE3 hash of a version, which names it. Zero is the parent of the first version.
type Hash [32]byte

// String returns 64 hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Role is what the operators say of one node.
type Role struct {
	Node rt.NodeID `cbor:"1,keyasint"`
	Zone ZoneName  `cbor:"2,keyasint"`
	// Capacity is in bytes. Zero is a gateway: it serves requests and stores no partition.
	Capacity uint64 `cbor:"3,keyasint,omitempty"`
	// Tags are for people; they decide nothing.
	Tags []string `cbor:"4,keyasint,omitempty"`
}

// Stores reports whether the node is given partitions.
func (r Role) Stores() bool { return r.Capacity > 0 }

// Validate reports every fault of r.
//
// Errors: ErrParams.
func (r Role) Validate() error {
	var faults []error
	fault := func(format string, args ...any) {
		what := fmt.Sprintf(format, args...)
		faults = append(faults, fmt.Errorf("role of node %s: %s: %w", r.Node.Short(), what, ErrParams))
	}
	if r.Node.IsZero() {
		fault("no node id")
	}
	if !validName(string(r.Zone)) {
		fault("zone %.80q: want 1 to %d bytes of text", r.Zone, NameMax)
	}
	if r.Capacity > CapacityMax {
		fault("capacity %d: want at most %d bytes", r.Capacity, uint64(CapacityMax))
	}
	if len(r.Tags) > TagsMax {
		fault("%d tags: want at most %d", len(r.Tags), TagsMax)
	}
	for _, tag := range r.Tags {
		if !validName(tag) {
			fault("tag %.80q: want 1 to %d bytes of text", tag, NameMax)
		}
	}
	return errors.Join(faults...)
}

func validName(s string) bool { return len(s) > 0 && len(s) <= NameMax && utf8.ValidString(s) }

func compareRoles(a, b Role) int { return a.Node.Compare(b.Node) }

// Params are the operators' choices for the whole cluster.
type Params struct {
	// Replicas is n, the copies of each partition, on distinct nodes: 1 to ReplicasMax.
	Replicas int `cbor:"1,keyasint"`
	// MinZones is α, the least number of zones among them, at most Replicas. Zero is as many as there are:
	// the lesser of Replicas and the number of zones that store.
	MinZones int `cbor:"2,keyasint,omitempty"`
	// Partitions is P, a power of two up to PartitionsMax.
	Partitions int `cbor:"3,keyasint"`
	// Tolerance is the capacity that may be given up, when a table changes, to move less: in
	// ten-thousandths of the optimum, at most ToleranceMax. Zero keeps the optimum.
	Tolerance int `cbor:"4,keyasint,omitempty"`
	// MinRegions is the least number of regions among the replicas of a partition, at most Replicas. It
	// raises MinZones where that is less. Zero and 1 ask for nothing.
	MinRegions int `cbor:"5,keyasint,omitempty"`
}

// DefaultParams returns three replicas in as many zones as possible, and 256 partitions.
func DefaultParams() Params { return Params{Replicas: 3, Partitions: 256} }

// Validate reports every fault of p.
//
// Errors: ErrParams.
func (p Params) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrParams))
		}
	}
	check(p.Replicas >= 1 && p.Replicas <= ReplicasMax, "replicas %d: want 1 to %d", p.Replicas, ReplicasMax)
	check(p.MinZones >= 0 && p.MinZones <= p.Replicas, "zones %d: want 0 to %d, the replicas",
		p.MinZones, p.Replicas)
	check(p.MinRegions >= 0 && p.MinRegions <= p.Replicas, "regions %d: want 0 to %d, the replicas",
		p.MinRegions, p.Replicas)
	power := p.Partitions >= 1 && p.Partitions <= PartitionsMax && p.Partitions&(p.Partitions-1) == 0
	check(power, "partitions %d: want a power of two up to %d", p.Partitions, PartitionsMax)
	check(p.Tolerance >= 0 && p.Tolerance <= ToleranceMax, "tolerance %d: want 0 to %d ten-thousandths",
		p.Tolerance, ToleranceMax)
	return errors.Join(faults...)
}

// WriteQuorum is W, the replicas that a write needs: more than half.
func (p Params) WriteQuorum() int { return p.Replicas/2 + 1 }

// ReadQuorum is R, the replicas that a read needs so that it meets every write.
func (p Params) ReadQuorum() int { return p.Replicas + 1 - p.WriteQuorum() }

// normalRoles returns roles sorted by node, tags sorted, or every fault they have.
func normalRoles(roles []Role) ([]Role, error) {
	if len(roles) > NodesMax {
		return nil, fmt.Errorf("%d nodes: want at most %d: %w", len(roles), NodesMax, ErrParams)
	}
	out := slices.Clone(roles)
	slices.SortFunc(out, compareRoles)
	var faults []error
	for i := range out {
		out[i].Tags = slices.Sorted(slices.Values(out[i].Tags))
		faults = append(faults, out[i].Validate())
		if i > 0 && out[i].Node == out[i-1].Node {
			faults = append(faults, fmt.Errorf("node %s has two roles: %w", out[i].Node.Short(), ErrParams))
		}
	}
	return out, errors.Join(faults...)
}
