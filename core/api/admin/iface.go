package admin

import (
	"context"
	"net/http"
	"time"

	"granary/core/block"
	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/cors"
	"granary/core/job"
	"granary/core/layout"
	"granary/core/rt"
	"granary/core/table"
)

// Limits of one request.
const (
	// BodyMax bounds the body, in bytes.
	BodyMax = 64 << 10
	// requestTimeout bounds the work.
	requestTimeout = 30 * time.Second
)

// Cluster is what the API needs of the node's membership; a *cluster.Cluster is one.
type Cluster interface {
	// Status describes the cluster as this node sees it.
	Status() cluster.Status
	// Found makes this node the first of a new cluster.
	Found(context.Context, layout.Params, layout.Role) error
	// JoinWith makes this node a member of the cluster that issued the token.
	JoinWith(context.Context, cluster.Token, layout.Role) error
	// NewToken issues a join token for one new node.
	NewToken(context.Context) (cluster.Token, error)
	// Stage adds a role, or its change, to the next layout.
	Stage(context.Context, layout.Role) error
	// StageParams changes the parameters of the next layout.
	StageParams(context.Context, func(*layout.Params)) error
	// Retire takes the role from a node in the next layout.
	Retire(context.Context, rt.NodeID) error
	// Revert stages the roles and parameters of an earlier version; 0 is the live one.
	Revert(context.Context, uint64) error
	// History has the newest versions of the layout, oldest first.
	History() []cluster.PastVersion
	// Sync makes this node know what most storage nodes know.
	Sync(context.Context) error
	// Adopt makes a version the layout, if it follows from what is live and staged.
	Adopt(context.Context, *layout.Version) error
	// AcceptLoss gives a member up for good, with what it alone holds.
	AcceptLoss(context.Context, rt.NodeID) error
	// Remove removes a member for good.
	Remove(context.Context, rt.NodeID) error
}

// Buckets is what the API needs of buckets and access keys; a *bucket.Store is one.
type Buckets interface {
	// All lists the buckets, ordered by name.
	All() ([]bucket.Bucket, error)
	// ByName finds a bucket.
	ByName(context.Context, string) (bucket.Bucket, error)
	// Create makes a bucket whose owner may do everything in it.
	Create(context.Context, string, bucket.KeyID) (bucket.Bucket, error)
	// Delete removes an empty bucket.
	Delete(context.Context, bucket.Bucket) error
	// SetCORS replaces a bucket's rules for pages of other origins; none takes them away.
	SetCORS(context.Context, bucket.Bucket, cors.Rules) error
	// SetConsistency sets the level of requests that name none.
	SetConsistency(context.Context, bucket.Bucket, table.Consistency) error
	// Allow sets what a key may do in a bucket.
	Change(ctx context.Context, name string, key bucket.KeyID, change func(*bucket.Grant)) (bucket.Bucket,
		error)
	// Keys lists the access keys, ordered by id.
	Keys() ([]bucket.Key, error)
	// Key finds an access key.
	Key(context.Context, bucket.KeyID) (bucket.Key, error)
	// CreateKey makes an access key with a random id and secret.
	CreateKey(ctx context.Context, name string, createBuckets bool) (bucket.Key, error)
	// PutKey writes an access key as given.
	PutKey(context.Context, bucket.Key) (bucket.Key, error)
	// DeleteKey revokes an access key.
	DeleteKey(context.Context, bucket.KeyID) error
}

// Blocks is what the API needs of a node's blocks; a *block.Store is one.
type Blocks interface {
	// StartScrub begins a scrub now, if none is going on.
	StartScrub()
	// Scrubs are the pass that goes on, or was the last, and the last that read content to the end.
	Scrubs() (now, last block.ScrubPass)
	// Nowhere counts the blocks that no replica in reach holds, and that were not given up.
	Nowhere() (int64, error)
	// Lost lists them, and those that were given up, behind a hash.
	Lost(after block.Hash) ([]block.LostBlock, error)
	// GiveUp has nobody wait for blocks any more that no member holds.
	GiveUp(context.Context, []block.Hash) ([]error, error)
}

// Rows is what the API needs of a node's rows; *table.Tables is one.
type Rows interface {
	// StartScrub begins to read all rows now, to find those that cannot be read.
	StartScrub()
}

// Config is what a Handler stands on. Env, Cluster, Buckets and Facts must be set.
type Config struct {
	Env     rt.Env
	Cluster Cluster
	Buckets Buckets
	// Facts says what the process knows of itself.
	Facts func(context.Context) Facts
	// Ready returns why S3 requests are not served, nil if they are. Nil is always ready.
	Ready func() error
	// Blocks are the node's blocks. Nil: there is nothing to scrub.
	Blocks Blocks
	// Rows are the node's rows. Nil: they are not scrubbed.
	Rows Rows
	// Jobs is the node's background work. Nil: there is none.
	Jobs *job.Book
	// Metrics serves /metrics. Nil: 404.
	Metrics http.Handler
	// Authorize reports whether a bearer token is right. Nil: none is.
	Authorize func(token string) bool
}

// Facts is what only the process around a node knows.
type Facts struct {
	Version string
	// Dev is set for a store made by --dev: one node, for trying things out, never part of a cluster.
	Dev    bool
	Name   string
	Uptime time.Duration

	S3Listen string // the address as bound, host:port
	S3TLS    bool
	// S3Beyond is set when others than this machine can connect.
	S3Beyond  bool
	K2VListen string // the address as bound, with the TLS of S3; empty: none
	K2VBeyond bool
	S3Region  string
	S3Domains []string

	PeersListen    string
	PeersAdvertise string

	MetadataFsync bool
	BlocksFsync   bool
	MetadataBytes int64 // of the metadata store
	SnapshotBytes int64 // of its snapshots
	DiskTotal     int64
	DiskFree      int64
	DiskError     string // why the space is not known
	Full          string // why no small objects and items are taken, empty if they are
	// Disks are several disks of the blocks; empty for a single one.
	Disks []Disk

	// Zone and Capacity are what the node offers when it founds or joins a cluster and nothing else is said.
	Zone     string
	Capacity uint64
}
