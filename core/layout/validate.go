package layout

import (
	"errors"
	"fmt"
	"slices"
)

// Validate checks everything that a version promises, apart from movement, without trusting who made it:
// ranges, order of roles, distinct replicas that store, enough zones, loads, and the partition size by the
// two inequalities of Theorem 1. It does not need to know the Algorithm.
//
// Errors: ErrInvalid, with every fault up to a limit. Cost: a pass over the table and a few dozen over the
// roles.
func (v *Version) Validate() error {
	faults := &faultList{number: v.Number}
	if v.Number == 0 || (v.Number == 1) != (v.Parent == Hash{}) {
		faults.add("number %d with parent %v: the first, and only it, has none", v.Number, v.Parent)
	}
	if v.Algorithm == 0 {
		faults.add("no algorithm number")
	}
	if err := v.Params.Validate(); err != nil {
		faults.add("%v", err)
		return faults.join()
	}
	v.validateRoles(faults)
	if want := v.Params.Partitions * v.Params.Replicas; len(v.Table) != want {
		faults.add("table of %d entries: want %d", len(v.Table), want)
	}
	for i, index := range v.Table {
		if int(index) >= len(v.Roles) || !v.Roles[index].Stores() {
			faults.add("table entry %d is role %d: want one of %d that stores", i, index, len(v.Roles))
		}
	}
	if faults.any() {
		return faults.join()
	}
	c, err := newCluster(v.Roles, v.Params)
	if err != nil {
		faults.add("%v", err)
		return faults.join()
	}
	v.validateRows(c, faults)
	v.validateSize(c, faults)
	return faults.join()
}

func (v *Version) validateRoles(faults *faultList) {
	if len(v.Roles) > NodesMax {
		faults.add("%d roles: want at most %d", len(v.Roles), NodesMax)
	}
	for i, r := range v.Roles {
		if err := r.Validate(); err != nil {
			faults.add("%v", err)
		}
		if i > 0 && v.Roles[i-1].Node.Compare(r.Node) >= 0 {
			faults.add("role %d, node %s: not above the role before it", i, r.Node.Short())
		}
	}
}

func (v *Version) validateRows(c *cluster, faults *faultList) {
	roles := make([]Role, c.replicas)
	for p := range Partition(c.partitions) {
		row := v.Row(p)
		for i, index := range row {
			if i > 0 && row[i-1] >= index {
				faults.add("partition %d: replicas %v do not ascend", p, row)
			}
			roles[i] = v.Roles[index]
		}
		zones, regions := places(roles)
		if len(zones) < c.minZones {
			faults.add("partition %d: in zones %q, want %d", p, zones, c.minZones)
		}
		if len(regions) < c.minRegions {
			faults.add("partition %d: in regions %q, want %d", p, regions, c.minRegions)
		}
	}
}

func (v *Version) validateSize(c *cluster, faults *faultList) {
	byRole := v.Loads()
	loads := make([]int, len(c.index))
	for i, index := range c.index {
		loads[i] = byRole[index]
	}
	if size := c.sizeOf(loads); v.Size != size {
		faults.add("size %d: the loads allow %d", v.Size, size)
	}
	if int(v.Split) > log2(c.partitions) {
		faults.add("%d partitions that were doubled %d times", c.partitions, v.Split)
		return
	}
	v.validateSplit(faults)
	c.partitions >>= v.Split
	best := c.optimum()
	if least := tolerated(best, v.Params.Tolerance) >> v.Split; v.Size < least {
		faults.add("size %d: want %d, the optimum is %d for %d partitions and the tolerance %d",
			v.Size, least, best, c.partitions, v.Params.Tolerance)
	}
}

// validateSplit checks that partitions which were one are on the same nodes.
func (v *Version) validateSplit(faults *faultList) {
	for p := range Partition(v.Params.Partitions) {
		if whole := p >> v.Split << v.Split; !slices.Equal(v.Row(p), v.Row(whole)) {
			faults.add("partition %d is on %v, and was one with %d on %v", p, v.Row(p), whole, v.Row(whole))
		}
	}
}

// faultsMax bounds the faults of one error.
const faultsMax = 20

// faultList collects the faults of a version.
type faultList struct {
	number uint64
	faults []error
	more   int
}

func (f *faultList) add(format string, args ...any) {
	if len(f.faults) == faultsMax {
		f.more++
		return
	}
	what := fmt.Sprintf(format, args...)
	f.faults = append(f.faults, fmt.Errorf("layout: version %d: %s: %w", f.number, what, ErrInvalid))
}

func (f *faultList) any() bool { return len(f.faults) > 0 }

func (f *faultList) join() error {
	if f.more > 0 {
		f.faults = append(f.faults, fmt.Errorf("and %d more", f.more))
	}
	return errors.Join(f.faults...)
}
