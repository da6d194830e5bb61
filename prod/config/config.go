package config

import "time"

// Config is the whole configuration of a node. Start from Default; the comments on each key are in the
// table of keys.go, from which the example file is written.
type Config struct {
	Node     Node
	Data     Data
	Peers    Peers
	S3       S3
	K2V      K2V
	Admin    Admin
	Metadata Metadata
	Reclaim  Reclaim
	Log      Log
}

// Node says what the node is called and what it offers to the cluster it founds or joins.
type Node struct {
	Name     string
	Zone     string
	Capacity Size // 0: the size of the disk minus the reserve
}

// Data says where data lies.
type Data struct {
	Folder string
	Blocks string // empty: blocks in Folder
	// Disks are several disks of the blocks, see ParseBlockDisk; empty: Blocks alone.
	Disks   []string
	Reserve Size // 0: as prod/diskfs chooses
	Fsync   bool
}

// Peers says how nodes reach this one.
type Peers struct {
	Listen    string // empty: see PeerListen
	Advertise string // empty: as listened at
}

// S3 is the listener for clients and its limits.
type S3 struct {
	Listen         string
	Region         string
	Domains        []string
	TLSCert        string
	TLSKey         string
	HeaderMax      Size
	HeaderTimeout  time.Duration
	StallTimeout   time.Duration
	IdleTimeout    time.Duration
	ConnectionsMax int
}

// TLS reports whether clients connect by TLS.
func (s S3) TLS() bool { return s.TLSCert != "" }

// K2V is the listener for K2V clients. Its region, certificate and limits of connections are those of S3.
type K2V struct {
	Listen   string // empty: none
	ValueMax Size
}

// K2VPort is the port at which a --dev store serves K2V.
const K2VPort = "3904"

// Admin is the listener of the admin API beside the socket in the data folder.
type Admin struct {
	Listen    string // empty: only the socket
	TLSCert   string
	TLSKey    string
	TokenHash string
}

// TLS reports whether the admin API is served by TLS.
func (a Admin) TLS() bool { return a.TLSCert != "" }

// Metadata tunes the metadata store.
type Metadata struct {
	Fsync         bool
	SnapshotEvery time.Duration // 0: no snapshots
	Snapshots     int           // how many are kept; 0: none are taken
}

// Reclaim says when the space of what was replaced or given up is freed.
type Reclaim struct {
	Delay     time.Duration
	ReadMax   time.Duration
	Abandoned time.Duration
	// Tombstones is the age at which deletion markers may go; 0: never.
	Tombstones time.Duration
}

// Log shapes the log.
type Log struct {
	Level  string
	Format string
}

// PeersPort is the port at which peers are listened for unless something else is said.
const PeersPort = "3901"

// DefaultFolder is the data folder unless something else is said.
const DefaultFolder = "granary-data"

// FileName is the name of the configuration file inside a data folder.
const FileName = "granary.toml"

// Default returns what an empty configuration means.
func Default() Config {
	return Config{
		Data:  Data{Folder: DefaultFolder, Fsync: true},
		Peers: Peers{},
		S3: S3{
			Listen: "127.0.0.1:3900", Region: "us-east-1", HeaderMax: 64 << 10,
			HeaderTimeout: 10 * time.Second, StallTimeout: 30 * time.Second,
			IdleTimeout: 2 * time.Minute, ConnectionsMax: 4096,
		},
		K2V:      K2V{ValueMax: 1 << 20},
		Metadata: Metadata{Fsync: true, SnapshotEvery: time.Hour, Snapshots: 3},
		Reclaim: Reclaim{Delay: 24 * time.Hour, ReadMax: 12 * time.Hour, Abandoned: 12 * time.Hour,
			Tombstones: 24 * time.Hour},
		Log: Log{Level: "info", Format: "text"},
	}
}
