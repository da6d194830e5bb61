package admin

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"granary/core/cluster"
	"granary/core/rt"
)

// notes are what this version does not do, and a user might expect.
var notes = []string{
	"markers of deleted K2V items stay: where ever new items come and go a bucket grows by 100 bytes an item",
}

func (h *Handler) status(r request, _ none) (Status, error) {
	f, c := h.Facts(r.ctx), h.Cluster.Status()
	scheme := "http"
	if f.S3TLS {
		scheme = "https"
	}
	s := Status{
		Version: f.Version, Dev: f.Dev, Ready: true,
		Node: Self{ID: h.Env.Self().String(), Name: f.Name, UptimeSeconds: f.Uptime.Seconds(),
			PeersListen: f.PeersListen, PeersAddress: f.PeersAdvertise},
		S3: S3{Endpoint: scheme + "://" + f.S3Listen, Region: f.S3Region, Domains: f.S3Domains},
		Storage: Storage{MetadataBytes: f.MetadataBytes, SnapshotBytes: f.SnapshotBytes,
			DiskTotal: f.DiskTotal, DiskFree: f.DiskFree,
			Error: f.DiskError, Disks: f.Disks},
		Nodes: h.nodes(c), Warnings: warnings(f, c), Notes: notes,
	}
	if h.Blocks != nil {
		lost, err := h.Blocks.Nowhere()
		if err != nil {
			return s, err
		}
		if lost > 0 {
			s.Warnings = append(s.Warnings, fmt.Sprintf("%d blocks that objects need are on no node in "+
				"reach: bring back nodes and disks that are away; see granary block lost", lost))
		}
	}
	if f.K2VListen != "" {
		s.K2V = scheme + "://" + f.K2VListen
	}
	if err := h.Ready(); err != nil {
		s.Ready, s.Missing = false, err.Error()
	}
	if len(c.ID) > 0 {
		s.Cluster = &Cloud{ID: hex.EncodeToString(c.ID), Founder: c.Founder.String(),
			Replicas: c.Params.Replicas, MinZones: c.Params.MinZones, Partitions: c.Params.Partitions}
		if c.Layout != nil {
			s.Cluster.Layout, s.Cluster.Usable = c.Layout.Number, c.Layout.Usable()
			s.Cluster.Change = changeOf(c)
		}
	}
	return s, nil
}

func (h *Handler) nodes(c cluster.Status) []Node {
	var list []Node
	for _, n := range c.Nodes {
		list = append(list, Node{
			ID: n.ID.String(), Name: n.Member.Name, Address: n.Member.Addr, Zone: string(n.Zone),
			Capacity: n.Capacity, Partitions: n.Partitions, Self: n.ID == h.Env.Self(),
			Connected: n.Connected,
			RTTMillis: float64(n.RTT) / float64(time.Millisecond), Removed: n.Removed, Lost: n.Lost,
			Syncing: n.Partitions > 0 && n.Synced < c.Layout.Number,
		})
	}
	return list
}

// warnings says in words what may cost data or trust.
func warnings(f Facts, c cluster.Status) []string {
	list := []string{}
	warn := func(cond bool, format string, args ...any) {
		if cond {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	warn(!f.MetadataFsync, "metadata.fsync is off: acknowledged writes, or all metadata of this node, "+
		"may be lost when power fails")
	warn(!f.BlocksFsync, "data.fsync is off: acknowledged objects may be lost when power fails")
	warn(f.K2VBeyond && !f.S3TLS,
		"K2V is served beyond this machine without TLS (%s): items and who reads them can"+
			" be seen on the way; set s3.tls_cert and s3.tls_key, or put a proxy in front", f.K2VListen)
	warn(f.S3Beyond && !f.S3TLS, "S3 is served beyond this machine without TLS (%s): objects and who "+
		"reads them can be seen"+
		" on the way; set s3.tls_cert and s3.tls_key, or put a proxy in front", f.S3Listen)
	warn(f.DiskError != "", "the free space is not known: %s", f.DiskError)
	warn(f.Full != "", "the disk of the metadata is full, small objects and items are refused: %s", f.Full)
	full := f.DiskError == "" && f.DiskTotal > 0 && f.DiskFree < 1<<20
	warn(full, "the disk is full: objects are refused; reads and deletions go on")
	warn(!full && f.DiskError == "" && f.DiskTotal > 0 && f.DiskFree < f.DiskTotal/20,
		"the disk is nearly full: objects are refused when nothing is left above the reserve")
	for _, d := range f.Disks {
		warn(d.Error != "", "the disk at %s is not used until the node starts again: %s; what it held is "+
			"fetched from other nodes: see granary job list", d.Path, d.Error)
	}
	if f.Dev || c.Layout == nil {
		return list
	}
	warn(c.Params.Replicas == 1, "one replica: an object is lost with the node that holds it")
	warn(c.Params.Replicas == 2, "two replicas: both are needed to write, so that one node down stops "+
		"writing")
	zones, down := map[string]bool{}, 0
	for _, n := range c.Nodes {
		if n.Partitions == 0 {
			continue
		}
		zones[string(n.Zone)] = true
		if !n.Connected {
			down++
			warn(true, "node %s (zone %s) cannot be reached", nameOf(n), n.Zone)
		}
	}
	few(c, warn)
	if lost, need := outOfReach(c); lost > 0 {
		warn(true, "%d of %d partitions have fewer than %d replicas in reach: requests that need them are "+
			"answered 503 until nodes return", lost, c.Layout.Params.Partitions, need)
	}
	warn(c.Undecided != "", "no bucket, access key or layout can be made or changed until nodes return: %s",
		c.Undecided)
	warn(max(c.ClockOffset, -c.ClockOffset) > cluster.ClockWarn, "the clock of this node is off by %v from "+
		"its peers': set it, for example by NTP", c.ClockOffset.Round(time.Millisecond))
	warn(c.Params.Replicas > 1 && len(zones) == 1, "all nodes are in one zone: losing it loses everything")
	warn(len(c.Pending) > 0 || c.PendingParams, "layout changes are staged but not applied: see granary "+
		"layout plan")
	return list
}

// changeOf describes the change of the layout that is going on; nil if there is none.
func changeOf(c cluster.Status) *LayoutChange {
	p := c.Change
	if p == nil {
		return nil
	}
	names := func(ids []rt.NodeID) []string {
		list := []string{}
		for _, n := range c.Nodes {
			if slices.Contains(ids, n.ID) {
				list = append(list, nameOf(n))
			}
		}
		return list
	}
	return &LayoutChange{From: p.From, To: p.To, Parts: p.Parts, Readable: p.Readable, Retired: p.Retired,
		Syncing: names(p.Syncing), Carrying: names(p.Carrying), Closing: names(p.Closing)}
}

// few warns of partitions with few whole copies, and of nodes that do not hold everything yet.
func few(c cluster.Status, warn func(cond bool, format string, args ...any)) {
	total := 0
	for _, n := range c.Copies {
		total += n
	}
	for copies, n := range c.Copies {
		if n == 0 || copies >= min(2, c.Layout.Params.Replicas) {
			continue
		}
		have := "no copy"
		if copies == 1 {
			have = "one copy"
		}
		warn(true, "%d of %d partitions have %s left that is whole and in reach: bring back the nodes that "+
			"are down; for one that is gone for good stage another with granary layout assign and remove, "+
			"and apply", n, total, have)
	}
	for _, n := range c.Nodes {
		warn(n.Lost && !n.Removed, "node %s was given up: take it out of the cluster with granary node "+
			"remove, once no layout needs it", nameOf(n))
		warn(c.Change == nil && n.Partitions > 0 && !n.Lost && n.Synced < c.Layout.Number,
			"node %s does not hold everything yet, and answers for nothing until it does: see granary job "+
				"list there", nameOf(n))
	}
}

// outOfReach counts the partitions of the live layout of which this node reaches fewer replicas than a
// majority, which is need.
func outOfReach(c cluster.Status) (lost, need int) {
	n := c.Layout.Params.Replicas
	need = n/2 + 1
	up := map[rt.NodeID]bool{}
	for _, node := range c.Nodes {
		up[node.ID] = node.Connected && !node.Removed
	}
	for at := 0; n > 0 && at+n <= len(c.Layout.Table); at += n {
		reached := 0
		for _, index := range c.Layout.Table[at : at+n] {
			if up[c.Layout.Roles[index].Node] {
				reached++
			}
		}
		if reached < need {
			lost++
		}
	}
	return lost, need
}

func nameOf(n cluster.NodeStatus) string {
	if n.Member.Name != "" {
		return n.Member.Name
	}
	return n.ID.Short()
}
