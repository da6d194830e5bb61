package plan

import "granary/core/layout"

// Report is a layout before it is made. Amounts are in bytes; those of usable capacity do not count
// replicas. Nodes are called by their names. Text renders it for people.
type Report struct {
	// Refusals, if there are any, say why there can be no such layout. Only Settings, Usable.Before, Zones
	// and Nodes are filled then, as far as that is possible, unless the reason is NoRoom.
	Refusals []Notice `json:"refusals"`
	Warnings []Notice `json:"warnings"`
	// Confirm is true if a warning needs the operator's confirmation before the layout is applied.
	Confirm bool `json:"confirm"`
	// Number is the version that this layout would be.
	Number   uint64   `json:"version"`
	Settings Settings `json:"settings"`
	Usable   Usable   `json:"usable"`
	Limit    Limit    `json:"limit"`
	// WhatIf has single changes beyond this one, and what each would make usable.
	WhatIf    []WhatIf  `json:"what_if"`
	Zones     []Zone    `json:"zones"` // by name
	Nodes     []Node    `json:"nodes"` // by zone, then by name; those that leave are last
	Migration Migration `json:"migration"`
	// Frontier has what other tolerances would move and leave usable; empty for a first layout, or where
	// it would take too long.
	Frontier []FrontierPoint `json:"frontier"`
	// Dispersion says how evenly nodes share partitions with each other; Before is that of the version in
	// force, if there is one.
	Dispersion       *Dispersion `json:"dispersion,omitempty"`
	DispersionBefore *Dispersion `json:"dispersion_before,omitempty"`
	// Losses has what would be usable after the loss of each single zone and node; only of zones where the
	// nodes are too many.
	Losses []Loss `json:"losses"`
	// Check is the bound computed a second time, by another method.
	Check Check `json:"check"`

	// Next is the layout itself; nil if there is none.
	Next *layout.Version `json:"-"`
	// Waves has what is copied, in rounds; empty if that is nothing, or too much to be listed.
	Waves [][]layout.Move `json:"-"`
}

// Notice is a reason against a layout.
type Notice struct {
	// Code is stable, for programs.
	Code Code `json:"code"`
	// Text is what is the matter, with names and numbers.
	Text string `json:"text"`
	// Remedy is what to do about it; empty if there is nothing to do.
	Remedy string `json:"remedy,omitempty"`
	// Confirm is true if the layout should not be applied unless the operator says so.
	Confirm bool `json:"confirm"`
}

// Code names a sort of notice.
type Code string

// The refusals.
const (
	// TooFewNodes means fewer storing nodes than replicas.
	TooFewNodes Code = "too_few_nodes"
	// TooFewZones means fewer zones with storing nodes than each partition shall be in.
	TooFewZones Code = "too_few_zones"
	// TooFewRegions means fewer regions with storing nodes than each partition shall be in.
	TooFewRegions Code = "too_few_regions"
	// TooLittleCapacity means that the nodes do not hold one byte per partition.
	TooLittleCapacity Code = "too_little_capacity"
	// InvalidParameter means that a role or a parameter is out of its range.
	InvalidParameter Code = "invalid_parameter"
	// NoRoom means that a node would get more than it can hold, as partitions are filled now.
	NoRoom Code = "no_room"
)

// The warnings.
const (
	// UsableFalls means that less is usable than now. To be confirmed.
	UsableFalls Code = "usable_falls"
	// SpreadFalls means that partitions are in fewer zones, or regions, than now. To be confirmed.
	SpreadFalls Code = "spread_falls"
	// ReplicasFall means that partitions have fewer replicas than now. To be confirmed.
	ReplicasFall Code = "replicas_fall"
	// SpreadCosts means that one zone less for each partition would make much more usable. To be confirmed
	// where it was not so before.
	SpreadCosts Code = "spread_costs"
	// IdleNode means that a node is added and gets no partition. To be confirmed.
	IdleNode Code = "idle_node"
	// IdleCapacity means that capacity is added to a node, and nothing becomes usable by it.
	IdleCapacity Code = "idle_capacity"
	// BelowSize means that nodes are too small for a single partition.
	BelowSize Code = "below_size"
	// FewPartitions means that there are so few partitions that capacity is lost to rounding.
	FewPartitions Code = "few_partitions"
	// OnlyDoubled means that partitions were doubled where they are, so that nothing moves, and that a finer
	// table would make more usable.
	OnlyDoubled Code = "only_doubled"
	// TightRoom means that a node cannot hold what it has and what it gets at the same time. To be
	// confirmed.
	TightRoom Code = "tight_room"
	// DownGains means that a node that is down gets partitions. To be confirmed.
	DownGains Code = "down_gains"
	// NoSource means that every node that has some partition is down, and one is to be copied. To be
	// confirmed.
	NoSource Code = "no_source"
	// UnevenPartitions means that some partitions hold far more than the mean.
	UnevenPartitions Code = "uneven_partitions"
	// Clumped means that nodes share partitions unevenly, so that the loss of one loads few others.
	Clumped Code = "clumped"
	// CheckFails means that the bound differs from what the linear program found. It is a fault of the
	// program; the layout is not affected.
	CheckFails Code = "check_fails"
)

// Settings are the parameters of the layout.
type Settings struct {
	Replicas         int `json:"replicas"`
	MinZones         int `json:"min_zones"` // as many as there are is resolved
	MinZonesBefore   int `json:"min_zones_before,omitempty"`
	MinRegions       int `json:"min_regions"` // 1: nothing is asked of regions
	MinRegionsBefore int `json:"min_regions_before,omitempty"`
	Partitions       int `json:"partitions"`
	PartitionsBefore int `json:"partitions_before,omitempty"`
	// PartitionsAdvised is the least power of two that is at least 12 per storing node, or the greatest that
	// the zones allow.
	PartitionsAdvised int `json:"partitions_advised"`
	// Tolerance is in ten-thousandths of the usable capacity.
	Tolerance int `json:"tolerance"`
}

// Usable is what the cluster can hold.
type Usable struct {
	Before uint64 `json:"before_bytes"` // 0: there is no version yet
	After  uint64 `json:"after_bytes"`
	// Optimum is the most that a table of so many partitions holds. It exceeds After by what the tolerance
	// gave up, or by what partitions that were only doubled do not make use of yet.
	Optimum uint64 `json:"optimum_bytes"`
	// Bound is what tables of ever more partitions would approach; rounded down.
	Bound uint64 `json:"bound_bytes"`
	// Rounding is the share of Bound that is lost to whole partitions: 1 − Optimum/Bound.
	Rounding float64 `json:"rounding"`
	// Advised is the most that a table of PartitionsAdvised partitions holds.
	Advised uint64 `json:"advised_bytes"`
	// Stored is what the partitions hold now; 0 if it was not measured.
	Stored uint64 `json:"stored_bytes"`
	// PartitionSize is the greatest size of a partition at which every node can hold what it is given.
	PartitionSize uint64 `json:"partition_size_bytes"`
}

// Limit says what limits the bound. Each partition is in at least Spread domains of the level; the Full
// ones hold every partition, and the Limiting ones all that they can.
type Limit struct {
	Level    string   `json:"level"` // "node", "zone", "region"
	Spread   int      `json:"spread"`
	Full     []string `json:"full"`
	Limiting []string `json:"limiting"`
	// Text is a sentence with the first answers of WhatIf.
	Text string `json:"text"`
}

// WhatIf is one more change, and its exact consequence.
type WhatIf struct {
	Text string `json:"text"` // "+1 TB on courgette"
	// Nodes each grow by Added; or none does, and MinZones or MinRegions is another.
	Nodes      []string `json:"nodes,omitempty"`
	Added      uint64   `json:"added_bytes,omitempty"`
	MinZones   int      `json:"min_zones,omitempty"`
	MinRegions int      `json:"min_regions,omitempty"`
	// Usable is the most that a table holds then, and Gain how much more that is than Usable.Optimum.
	Usable uint64 `json:"usable_bytes"`
	Gain   int64  `json:"gain_bytes"`
	// Until is how much can be added to a single node at its present price, and Then the price after that.
	// Zero Until: that was not asked, or the price never falls.
	Until uint64  `json:"until_bytes,omitempty"`
	Then  float64 `json:"then,omitempty"`
}

// Zone is the sum of its nodes.
type Zone struct {
	Name     string `json:"name"`
	Nodes    int    `json:"nodes"` // that store
	Capacity uint64 `json:"capacity_bytes"`
	// Used is the share of Capacity that is in use when the cluster holds Usable.After.
	Used   float64 `json:"used"`
	Before int     `json:"partitions_before"` // replicas of partitions
	After  int     `json:"partitions_after"`
	Gained int     `json:"gained"` // by its nodes, from whichever zone
	Lost   int     `json:"lost"`
	// Full is true if the zone can hold every partition, and has room to spare.
	Full bool `json:"full"`
	// Limits is true if usable capacity would fall with that of the zone.
	Limits bool `json:"limits"`
}

// Node is one node of the layout, or of the one before.
type Node struct {
	ID       string  `json:"id"`
	Name     string  `json:"name"`
	Zone     string  `json:"zone"`
	Capacity uint64  `json:"capacity_bytes"` // 0: a gateway, or a node that leaves
	Was      uint64  `json:"capacity_before_bytes"`
	Used     float64 `json:"used"` // as in Zone
	Before   int     `json:"partitions_before"`
	After    int     `json:"partitions_after"`
	Gained   int     `json:"gained"`
	Lost     int     `json:"lost"`
	// Stored and Will are what the node's partitions hold now, before and after; 0 if not measured.
	Stored uint64 `json:"stored_bytes"`
	Will   uint64 `json:"will_store_bytes"`
	// Price is what one byte more here adds to the bound, in bytes.
	Price float64 `json:"price"`
	// Limits is true if usable capacity would fall with that of the node.
	Limits bool `json:"limits"`
	// BelowSize is true if the node is too small for one partition.
	BelowSize bool `json:"below_size"`
	Added     bool `json:"added"` // false in a first layout
	Removed   bool `json:"removed"`
	Down      bool `json:"down"`
}

// Migration is what must be copied.
type Migration struct {
	Replicas int `json:"replicas"`
	// Share is Replicas of all replicas.
	Share float64 `json:"share"`
	// Bytes is to be copied: measured, or the most that it can be, in a cluster that is full.
	Bytes    uint64 `json:"bytes"`
	Measured bool   `json:"measured"`
	// Waves is how many rounds it takes if a node sends, and receives, at most TransfersMax replicas in
	// each, and no partition changes more replicas than its writes can do without. Nodes take over in that
	// order, and do not wait for each other.
	Waves        int `json:"waves"`
	TransfersMax int `json:"transfers_max"`
	// Seconds is the least time that the links allow; nil if their bandwidth is not known.
	Seconds *float64 `json:"seconds"`
	// Method is how Seconds was found: "linear program" or "greedy", which may exceed the least; empty if
	// it was not.
	Method string `json:"method,omitempty"`
	// Bottleneck is the node or zone whose link is busy all that time.
	Bottleneck string `json:"bottleneck,omitempty"`
	// PartitionMax and PartitionMean are of the measured partitions; 0 if not measured.
	PartitionMax  uint64 `json:"partition_max_bytes"`
	PartitionMean uint64 `json:"partition_mean_bytes"`
}

// FrontierPoint is what another tolerance would do.
type FrontierPoint struct {
	Tolerance int    `json:"tolerance"` // ten-thousandths
	Replicas  int    `json:"replicas"`  // moved
	Bytes     uint64 `json:"bytes"`     // copied, as in Migration
	Usable    uint64 `json:"usable_bytes"`
	Chosen    bool   `json:"chosen"` // this is the layout's own
}

// Dispersion says how evenly the nodes share partitions. The more even, the more nodes help to rebuild one
// that is lost.
type Dispersion struct {
	// MaxPair is the most partitions that two nodes share, and Excess that in units of what chance would
	// make them share, at the worst pair.
	MaxPair int     `json:"max_pair"`
	Excess  float64 `json:"excess"`
	// WorstPartner is the greatest share of a node's partitions that are also on one other node.
	WorstPartner float64 `json:"worst_partner"`
	// Partners is the share of the possible partners that a node has, at the node with the least.
	Partners float64 `json:"partners"`
	// Rebuild is the most that one node must send when another is lost, as a share of what the lost one
	// held.
	Rebuild float64 `json:"rebuild"`
}

// Loss is the cluster without one zone or node.
type Loss struct {
	Zone string `json:"zone"`
	Node string `json:"node,omitempty"` // empty: the whole zone
	// MinZones is the zones that partitions would be in, if as many as possible is wanted.
	MinZones int    `json:"min_zones"`
	Usable   uint64 `json:"usable_bytes"`
	// Refused is why there would be no layout of what remains; empty if there would.
	Refused string `json:"refused,omitempty"`
}

// Check is the bound, computed by a linear program. It decides nothing.
type Check struct {
	// Program is "classes", where nodes of equal capacity in a zone are one variable, or "cuts", where even
	// those are too many.
	Program string `json:"program"`
	Rows    int    `json:"rows"`
	Columns int    `json:"columns"`
	// Bound is what it found, in bytes, and Difference how far that is from Usable.Bound, as a share.
	Bound      float64 `json:"bound_bytes"`
	Difference float64 `json:"difference"`
	// Alarms counts disagreements and failures: 0 or 1 for each.
	Alarms int    `json:"alarms"`
	Error  string `json:"error,omitempty"`
}
