package admin

import (
	"time"

	"granary/core/layout/plan"
)

// Status is the answer of /v1/status.
type Status struct {
	Version string `json:"version"`
	Dev     bool   `json:"dev,omitempty"`
	// Ready says whether S3 requests are served, Missing why not.
	Ready   bool    `json:"ready"`
	Missing string  `json:"missing,omitempty"`
	Node    Self    `json:"node"`
	S3      S3      `json:"s3"`
	K2V     string  `json:"k2v,omitempty"` // where it is served, as a URL; the region is that of S3
	Storage Storage `json:"storage"`
	Cluster *Cloud  `json:"cluster,omitempty"` // absent: this node belongs to none
	Nodes   []Node  `json:"nodes,omitempty"`
	// Warnings are about choices and states that may cost data or trust; Notes are about what this version
	// does not do.
	Warnings []string `json:"warnings"`
	Notes    []string `json:"notes"`
}

// Self is the node that answers.
type Self struct {
	ID            string  `json:"id"`
	Name          string  `json:"name,omitempty"`
	UptimeSeconds float64 `json:"uptime_seconds"`
	PeersListen   string  `json:"peers_listen,omitempty"`
	PeersAddress  string  `json:"peers_address,omitempty"`
}

// S3 is the endpoint for clients.
type S3 struct {
	Endpoint string   `json:"endpoint"` // as a URL
	Region   string   `json:"region"`
	Domains  []string `json:"domains,omitempty"`
}

// Storage is what the node's disks hold, in bytes.
type Storage struct {
	MetadataBytes int64  `json:"metadata_bytes"`
	SnapshotBytes int64  `json:"snapshot_bytes"`
	DiskTotal     int64  `json:"disk_total_bytes"`
	DiskFree      int64  `json:"disk_free_bytes"`
	Error         string `json:"error,omitempty"`
}

// Cloud is the cluster as a whole.
type Cloud struct {
	ID         string `json:"id"`
	Founder    string `json:"founder"`
	Replicas   int    `json:"replicas"`
	MinZones   int    `json:"min_zones"` // 0: as many as there are
	Partitions int    `json:"partitions"`
	Layout     uint64 `json:"layout_version"` // 0: none yet
	Usable     uint64 `json:"usable_bytes"`   // replicas not counted
}

// Node is a member.
type Node struct {
	ID         string  `json:"id"`
	Name       string  `json:"name,omitempty"`
	Address    string  `json:"address,omitempty"`
	Zone       string  `json:"zone,omitempty"`
	Capacity   uint64  `json:"capacity_bytes"` // 0: a gateway
	Partitions int     `json:"partitions"`
	Self       bool    `json:"self,omitempty"`
	Connected  bool    `json:"connected"`
	RTTMillis  float64 `json:"rtt_ms,omitempty"`
	Removed    bool    `json:"removed,omitempty"`
}

// Bucket is a bucket with what keys may do in it.
type Bucket struct {
	Name    string    `json:"name"`
	ID      string    `json:"id"`
	Owner   string    `json:"owner"`
	Created time.Time `json:"created"`
	Grants  []Grant   `json:"grants"`
}

// Grant is what a key may do in a bucket; to allow or deny, what is added or taken away.
type Grant struct {
	Key   string `json:"key"`
	Read  bool   `json:"read"`
	Write bool   `json:"write"`
	Owner bool   `json:"owner"`
}

// NewBucket asks for a bucket.
type NewBucket struct {
	Name string `json:"name"`
	// Owner is the key that owns it. Empty: the only key there is.
	Owner string `json:"owner,omitempty"`
}

// Key is an access key.
type Key struct {
	ID            string    `json:"id"`
	Secret        string    `json:"secret,omitempty"`
	Name          string    `json:"name,omitempty"`
	CreateBuckets bool      `json:"create_buckets"`
	Created       time.Time `json:"created"`
	Buckets       []string  `json:"buckets,omitempty"` // in which it may do something
}

// NewKey asks for an access key. ID and Secret are given to import one, and only then.
type NewKey struct {
	ID            string `json:"id,omitempty"`
	Secret        string `json:"secret,omitempty"`
	Name          string `json:"name,omitempty"`
	CreateBuckets bool   `json:"create_buckets,omitempty"`
}

// Params are the parameters of a layout.
type Params struct {
	Replicas int `json:"replicas"`
	MinZones int `json:"min_zones"` // 0: as many as there are
	// MinRegions is of the regions, the parts of zones' names before a slash. 0: nothing is asked.
	MinRegions int `json:"min_regions,omitempty"`
	Partitions int `json:"partitions"`
	// Tolerance is the capacity that may be given up to move less, in ten-thousandths.
	Tolerance int `json:"tolerance"`
}

// Layout is what is stored where, and what is staged to change it.
type Layout struct {
	Version uint64   `json:"version"` // 0: none yet
	Params           // of the live version; wanted, before the first
	Usable  uint64   `json:"usable_bytes"`
	Roles   []Role   `json:"roles"`  // of the live version
	Staged  []Change `json:"staged"` // what the next version would change
	// StagedParams are the parameters that the next version would have, if they are others.
	StagedParams *Params `json:"staged_params,omitempty"`
	Missing      string  `json:"missing,omitempty"`
}

// Role is what a node is there for.
type Role struct {
	Node       string   `json:"node"`
	Name       string   `json:"name,omitempty"`
	Zone       string   `json:"zone"`
	Capacity   uint64   `json:"capacity_bytes"`
	Tags       []string `json:"tags,omitempty"`
	Partitions int      `json:"partitions"`
}

// Change is one staged change of a role.
type Change struct {
	Node string `json:"node"`
	Name string `json:"name,omitempty"`
	From *Role  `json:"from,omitempty"` // absent: the node has none
	To   *Role  `json:"to,omitempty"`   // absent: it shall have none
}

// Assign asks for a role.
type Assign struct {
	// Node is an id, an unambiguous beginning of one of at least 4 characters, or a name.
	Node string   `json:"node"`
	Zone string   `json:"zone"`
	Tags []string `json:"tags,omitempty"`
	// Capacity is in bytes; 0 only for a gateway.
	Capacity uint64 `json:"capacity_bytes,omitempty"`
	Gateway  bool   `json:"gateway,omitempty"`
}

// NewParams are parameters to stage. What is absent stays as it is.
type NewParams struct {
	Replicas   *int `json:"replicas,omitempty"`
	MinZones   *int `json:"min_zones,omitempty"`
	MinRegions *int `json:"min_regions,omitempty"`
	Partitions *int `json:"partitions,omitempty"`
	Tolerance  *int `json:"tolerance,omitempty"` // ten-thousandths
}

// Retire asks that a node shall have no role.
type Retire struct {
	// Node is as in Assign.
	Node string `json:"node"`
}

// Revert asks for the roles and parameters of an earlier version to be staged.
type Revert struct {
	// To is its number. 0: the live one, which withdraws what is staged.
	To uint64 `json:"to,omitempty"`
}

// Past is a version of the layout in its history.
type Past struct {
	Version uint64    `json:"version"`
	Hash    string    `json:"hash"`
	Made    time.Time `json:"made"`
	Live    bool      `json:"live"`
	Params
	Changes []Change `json:"changes"` // in the roles of the version before it
	Usable  uint64   `json:"usable_bytes"`
	Moves   int      `json:"moves"` // replicas placed elsewhere; all of them in the first version
}

// Apply asks for a layout version to be made of what is staged.
type Apply struct {
	// Version is the number that it must have. 0: whatever it is.
	Version uint64 `json:"version,omitempty"`
	Confirmation
}

// Confirmation says which warnings were read, and are no reason against a layout.
type Confirmation struct {
	Confirm []string `json:"confirm,omitempty"` // codes of notices
	Yes     bool     `json:"yes,omitempty"`     // all of them
}

// Plan is the layout that would be applied.
type Plan struct {
	plan.Report
	// Unchanged means that nothing is staged.
	Unchanged bool `json:"unchanged,omitempty"`
}

// Rebalance asks to place anew what is there, so that nodes share it more evenly.
type Rebalance struct {
	// Budget is what may be moved, in bytes, were the cluster full.
	Budget uint64 `json:"budget_bytes"`
	// DryRun only reports.
	DryRun bool `json:"dry_run,omitempty"`
	Apply
}

// Rebalanced is the answer of rebalance.
type Rebalanced struct {
	Applied              // Unchanged: there was nothing to gain
	Report  *plan.Report `json:"report"`
}

// Buy asks for the cheapest capacity that makes so much usable.
type Buy struct {
	Target uint64 `json:"target_bytes"`
	// Prices are for a terabyte of capacity, by zone. A zone without a price sells none.
	Prices map[string]float64 `json:"prices"`
	// NodeMax is the capacity up to which nodes can be enlarged. 0: as much as one likes.
	NodeMax uint64 `json:"node_max_bytes,omitempty"`
	// NewNodes is how many nodes may be added to a zone, which need not have any yet.
	NewNodes map[string]int `json:"new_nodes,omitempty"`
	// Unit is what capacity is sold by. 0: a gigabyte.
	Unit uint64 `json:"unit_bytes,omitempty"`
	// Staged starts from what is staged, instead of what is live.
	Staged bool `json:"staged,omitempty"`
}

// Explained is the live layout, or before the first the one that is wanted, in words.
type Explained struct {
	Text string `json:"text"`
	plan.Report
}

// Simulate asks what the layout would be after some changes.
type Simulate struct {
	// Staged starts from what is staged, instead of what is live.
	Staged bool       `json:"staged,omitempty"`
	Remove []string   `json:"remove,omitempty"` // nodes as in Assign
	Add    []Imagined `json:"add,omitempty"`
	Resize []Resized  `json:"resize,omitempty"`
	NewParams
	// Bandwidth is what each node sends and receives, in bytes per second. 0: not known.
	Bandwidth uint64 `json:"bandwidth,omitempty"`
}

// Imagined is a node that might be there.
type Imagined struct {
	Name     string `json:"name"`
	Zone     string `json:"zone"`
	Capacity uint64 `json:"capacity_bytes"` // 0: a gateway
}

// Resized is a node that might hold more, or less.
type Resized struct {
	Node     string `json:"node"` // as in Assign
	Capacity uint64 `json:"capacity_bytes"`
}

// Simulation is a layout that might be. It can be followed by another.
type Simulation struct {
	Usable        uint64 `json:"usable"`         // bytes, replicas not counted
	Bound         uint64 `json:"bound"`          // bytes that no table exceeds, rounded down
	PartitionSize uint64 `json:"partition_size"` // bytes
	// Limiting are the nodes, or the zones, whose capacity limits Usable.
	Limiting []string `json:"limiting"`
	// Prices is what one more byte on a node adds to Bound, by the node's name.
	Prices map[string]float64 `json:"prices"`
	// Moves is the replicas that were elsewhere before; 0 if there was no layout before.
	Moves   int    `json:"moves"`
	Version uint64 `json:"version"`
	// Split is how often the partitions were doubled since the table was made for them.
	Split uint8 `json:"split,omitempty"`
	Params
	Nodes []Described `json:"nodes"`
	// Table has the names of the nodes of each partition.
	Table  [][]string   `json:"table"`
	Report *plan.Report `json:"report,omitempty"`
}

// Described is a node of a Simulation.
type Described struct {
	Name       string `json:"name"`
	Zone       string `json:"zone"`
	Capacity   uint64 `json:"capacity"` // bytes
	Partitions int    `json:"partitions"`
}

// Applied is the answer of apply.
type Applied struct {
	Version uint64 `json:"version"`
	// Unchanged means that nothing was staged, and Version was live before.
	Unchanged bool `json:"unchanged,omitempty"`
}

// Token is a join token.
type Token struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
	Address string    `json:"address"` // which the new node must be able to reach
}

// Init asks to found a cluster.
type Init struct {
	Replicas int `json:"replicas"`
	MinZones int `json:"min_zones,omitempty"`
	Offer
}

// Join asks to become a member.
type Join struct {
	Token string `json:"token"`
	Offer
}

// Offer is what a node offers to its cluster.
type Offer struct {
	// Zone is the node's place. Empty: the configured one.
	Zone string `json:"zone,omitempty"`
	// Capacity is in bytes. 0: the configured one, or what the disk has.
	Capacity uint64 `json:"capacity_bytes,omitempty"`
	// Gateway makes a node that stores nothing.
	Gateway bool `json:"gateway,omitempty"`
}

// Done is the answer of what has nothing to say.
type Done struct{}

// Error is a refusal.
type Error struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Notices are the reasons against a layout.
	Notices []plan.Notice `json:"notices,omitempty"`
}

// Error returns message and hint.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "\n" + e.Hint
}
