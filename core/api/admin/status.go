package admin

import (
	"encoding/hex"
	"fmt"
	"time"

	"granary/core/cluster"
	"granary/core/rt"
)

// notes are what this version does not do, and a user might expect.
var notes = []string{
	"replaced and deleted data stays on disk: space is not reclaimed yet",
	"a node that was down gets the rows it missed, but not the blocks of large objects: there is no resync " +
		"yet",
	"the layout of a cluster that holds objects cannot be changed yet",
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
			Error: f.DiskError},
		Nodes: h.nodes(c), Warnings: warnings(f, c), Notes: notes,
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
			RTTMillis: float64(n.RTT) / float64(time.Millisecond), Removed: n.Removed,
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
	if lost, need := outOfReach(c); lost > 0 {
		warn(true, "%d of %d partitions have fewer than %d replicas in reach: requests that need them are "+
			"answered 503 until nodes return", lost, c.Layout.Params.Partitions, need)
	}
	warn(max(c.ClockOffset, -c.ClockOffset) > cluster.ClockWarn, "the clock of this node is off by %v from "+
		"its peers': set it, for example by NTP", c.ClockOffset.Round(time.Millisecond))
	warn(c.Params.Replicas > 1 && len(zones) == 1, "all nodes are in one zone: losing it loses everything")
	warn(len(c.Pending) > 0 || c.PendingParams, "layout changes are staged but not applied: see granary "+
		"layout plan")
	return list
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
