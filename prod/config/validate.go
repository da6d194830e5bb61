package config

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of values.
const (
	nameMax        = 64 // bytes of a node's name, zone or region
	domainMax      = 255
	connectionsLow = 16
	connectionsTop = 1 << 20
	headerLow      = 8 << 10
	headerTop      = 1 << 20
	valueLow       = 1 << 10
	valueTop       = 3 << 20
	timeoutLow     = 100 * time.Millisecond
	timeoutTop     = time.Hour
	snapshotLow    = time.Second
	snapshotTop    = 30 * 24 * time.Hour
	snapshotsTop   = 1000
	reclaimLow     = time.Minute
	// tombstonesLow exceeds what a clock may be wrong and the longest deadlines of writes.
	tombstonesLow = 2 * time.Minute
	reclaimTop    = 30 * 24 * time.Hour
)

// hashPrefix begins the hash of a token.
const hashPrefix = "sha256:"

// where says where a key's value comes from.
func (l *loader) where(name string) string {
	if at, ok := l.out.origin[name]; ok {
		return at
	}
	return "default"
}

func (l *loader) check(name string, err error) {
	if err != nil {
		l.fault(l.where(name), "%s: %v", name, err)
	}
}

// validate finds every fault of the values.
func (l *loader) validate() {
	c := &l.out.Config
	l.check("node.name", checkText(c.Node.Name))
	l.check("node.zone", checkText(c.Node.Zone))
	l.check("node.capacity", checkRange(c.Node.Capacity, 0, 1<<60))
	if c.Data.Folder == "" {
		l.fault(l.where("data.folder"), "data.folder: want a folder")
	}
	if _, err := c.Data.BlockDisks(); err != nil {
		l.fault(l.where("data.disks"), "data.disks: %v", err)
	} else if len(c.Data.Disks) > 0 && c.Data.Blocks != "" {
		l.fault(l.where("data.disks"), "data.disks: data.blocks is set too: make it one of the disks")
	}
	l.check("data.reserve", checkRange(c.Data.Reserve, 0, 1<<60))
	if c.Peers.Advertise != "" && !hasPort(c.Peers.Advertise) {
		c.Peers.Advertise = net.JoinHostPort(strings.Trim(c.Peers.Advertise, "[]"), PeersPort)
	}
	l.check("peers.listen", checkAddr(c.Peers.Listen, true))
	l.check("peers.advertise", checkAdvertise(c.Peers.Advertise))
	l.validateS3(c.S3)
	l.check("k2v.listen", checkAddr(c.K2V.Listen, true))
	l.check("k2v.value_max", checkRange(c.K2V.ValueMax, valueLow, valueTop))
	l.validateAdmin(c.Admin)
	l.validateMetadata(c.Metadata)
	l.validateReclaim(c.Reclaim)
	l.check("log.level", checkOneOf(c.Log.Level, "debug", "info", "warn", "error"))
	l.check("log.format", checkOneOf(c.Log.Format, "text", "json"))
}

func (l *loader) validateMetadata(m Metadata) {
	if d := m.SnapshotEvery; d != 0 && (d < snapshotLow || d > snapshotTop) {
		l.fault(l.where("metadata.snapshot_every"), "metadata.snapshot_every: %v: want 0s, or %v to %v", d,
			snapshotLow, snapshotTop)
	}
	if n := m.Snapshots; n < 0 || n > snapshotsTop {
		l.fault(l.where("metadata.snapshots"), "metadata.snapshots: %d: want 0 to %d", n, snapshotsTop)
	}
}

func (l *loader) validateS3(s S3) {
	l.check("s3.listen", checkAddr(s.Listen, false))
	switch {
	case s.Region == "" || len(s.Region) > nameMax:
		l.fault(l.where("s3.region"), "s3.region: %.40q: want 1 to %d characters", s.Region, nameMax)
	case strings.Trim(s.Region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		l.fault(l.where("s3.region"), "s3.region: %.40q: want lower-case letters, digits and hyphens",
			s.Region)
	}
	for _, d := range s.Domains {
		if d == "" || len(d) > domainMax || strings.ContainsAny(d, ":/ *") || strings.HasPrefix(d, ".") {
			l.fault(l.where("s3.domains"), "s3.domains: %.60q: want a domain, without port", d)
		}
	}
	l.checkPair("s3", s.TLSCert, s.TLSKey)
	l.check("s3.header_max", checkRange(s.HeaderMax, headerLow, headerTop))
	l.check("s3.header_timeout", checkTime(s.HeaderTimeout))
	l.check("s3.stall_timeout", checkTime(s.StallTimeout))
	l.check("s3.idle_timeout", checkTime(s.IdleTimeout))
	if n := s.ConnectionsMax; n < connectionsLow || n > connectionsTop {
		l.fault(l.where("s3.connections_max"), "s3.connections_max: %d: want %d to %d", n, connectionsLow,
			connectionsTop)
	}
}

func (l *loader) validateReclaim(r Reclaim) {
	for _, k := range []struct {
		name string
		d    time.Duration
	}{{"reclaim.delay", r.Delay}, {"reclaim.read_max", r.ReadMax}, {"reclaim.abandoned", r.Abandoned}} {
		if k.d < reclaimLow || k.d > reclaimTop {
			l.fault(l.where(k.name), "%s: %v: want %v to %v", k.name, k.d, reclaimLow, reclaimTop)
		}
	}
	if t := r.Tombstones; t != 0 && (t < tombstonesLow || t > reclaimTop) {
		l.fault(l.where("reclaim.tombstones"), "reclaim.tombstones: %v: want 0s, or %v to %v", t,
			tombstonesLow, reclaimTop)
	}
	if r.Delay <= r.ReadMax {
		l.fault(l.where("reclaim.delay"), "reclaim.delay: %v: want more than reclaim.read_max, which is %v",
			r.Delay, r.ReadMax)
	}
}

func (l *loader) validateAdmin(a Admin) {
	l.check("admin.listen", checkAddr(a.Listen, true))
	l.checkPair("admin", a.TLSCert, a.TLSKey)
	if a.TokenHash != "" {
		if raw, ok := strings.CutPrefix(a.TokenHash, hashPrefix); !ok || len(raw) != 64 || !isHex(raw) {
			l.fault(l.where("admin.token_hash"), "admin.token_hash: want %s and 64 hexadecimal digits,"+
				" as granary config token prints them", hashPrefix)
		}
	}
	if a.Listen == "" {
		return
	}
	if a.TokenHash == "" {
		l.fault(l.where("admin.listen"), "admin.listen: needs admin.token_hash: run granary config token")
	}
	if !a.TLS() && !IsLoopback(a.Listen) {
		l.fault(l.where("admin.listen"), "admin.listen: %s is beyond loopback and needs admin.tls_cert and"+
			" admin.tls_key", a.Listen)
	}
}

// checkPair checks that certificate and key are given together.
func (l *loader) checkPair(section, cert, key string) {
	switch {
	case cert != "" && key == "":
		l.fault(l.where(section+".tls_cert"), "%s.tls_cert: needs %s.tls_key too", section, section)
	case cert == "" && key != "":
		l.fault(l.where(section+".tls_key"), "%s.tls_key: needs %s.tls_cert too", section, section)
	}
}

func checkText(s string) error {
	if len(s) > nameMax || !utf8.ValidString(s) ||
		strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }) {
		return fmt.Errorf("%.40q: want at most %d bytes of text, without control characters", s, nameMax)
	}
	return nil
}

func checkRange(s, low, high Size) error {
	if s < low || s > high {
		return fmt.Errorf("%s: want %s to %s", s, low, high)
	}
	return nil
}

func checkTime(d time.Duration) error {
	if d < timeoutLow || d > timeoutTop {
		return fmt.Errorf("%s: want %s to %s", d, shortDuration(timeoutLow), shortDuration(timeoutTop))
	}
	return nil
}

func checkOneOf(s string, allowed ...string) error {
	if slices.Contains(allowed, s) {
		return nil
	}
	return fmt.Errorf("%.40q: want one of %s", s, strings.Join(allowed, ", "))
}

func hasPort(addr string) bool {
	_, _, err := net.SplitHostPort(addr)
	return err == nil
}

// checkAddr checks an address to listen at.
func checkAddr(addr string, mayBeEmpty bool) error {
	if addr == "" && mayBeEmpty {
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%.60q: want host:port", addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%.60q: the port must be a number up to 65535", addr)
	}
	return nil
}

func checkAdvertise(addr string) error {
	if addr == "" {
		return nil
	}
	if err := checkAddr(addr, false); err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(addr)
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() || port == "0" {
		return fmt.Errorf("%.60q: want an address that other nodes can dial", addr)
	}
	return nil
}

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil
}

// IsLoopback reports whether an address host:port is reachable from this machine only. A name other than
// localhost is not.
func IsLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// PeerListen is the address to listen at for peers, and PeerAdvertise the one to tell them; the latter is
// empty if it is the former.
func (c Config) PeerListen() string {
	switch {
	case c.Peers.Listen != "":
		return c.Peers.Listen
	case c.Peers.Advertise == "":
		return net.JoinHostPort("127.0.0.1", PeersPort)
	}
	host, port, err := net.SplitHostPort(c.Peers.Advertise)
	if ip, bad := netip.ParseAddr(host); err == nil && bad == nil && ip.IsLoopback() {
		return c.Peers.Advertise
	}
	return net.JoinHostPort("", port)
}
