package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// key is one row of the table of what may be configured.
type key struct {
	name   string // section.key
	target any    // into a Config: *string, *bool, *int, *Size, *time.Duration, *[]string
	doc    string // lines of the comment in the example
	secret bool
}

// section returns what stands before the dot.
func (k key) section() string { return k.name[:strings.IndexByte(k.name, '.')] }

// short returns what stands behind the dot.
func (k key) short() string { return k.name[strings.IndexByte(k.name, '.')+1:] }

// env returns the name of the environment variable.
func (k key) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.name, ".", "_"))
}

const envPrefix = "GRANARY_"

// sections says what each table is about, in the order of the example.
var sections = []struct{ name, doc string }{
	{"node", "This node, as it presents itself to a cluster."},
	{"data", "Where data lies."},
	{"peers", "How the other nodes reach this one."},
	{"s3", "The S3 endpoint."},
	{"k2v", "The K2V endpoint. Region, certificate, timeouts and connections are those of [s3]."},
	{"admin", "The admin API. The CLI uses the socket admin.sock in the data folder, which is always there."},
	{"metadata", "The metadata store."},
	{"reclaim", "When the space of what was replaced, deleted or given up is freed."},
	{"log", "The log, on standard error."},
}

// keys returns the table of all keys, whose targets point into c.
func (c *Config) keys() []key {
	return []key{
		{"node.name", &c.Node.Name,
			"Name for people. Empty: the host name.", false},
		{"node.zone", &c.Node.Zone,
			"The place that this node shares its fate with: a site, a room, a provider.\n" +
				"Used by init and join.", false},
		{"node.capacity", &c.Node.Capacity,
			"Bytes that this node offers, used by init and join: 500G, 1.5T, 2Ti.\n" +
				"0: the size of the disk minus the reserve.", false},

		{"data.folder", &c.Data.Folder,
			"Metadata, the node's key, the admin socket and, unless said otherwise,\n" +
				"blocks. Made at the first start, for its owner only.", false},
		{"data.blocks", &c.Data.Blocks,
			"Folder of the blocks, if they are to lie on another disk.", false},
		{"data.disks", &c.Data.Disks,
			"Folders of the blocks on several disks, in place of data.blocks. Each gets\n" +
				"its share by size, or by what is said: \"/mnt/b=4T\". A disk with \"=0\" is\n" +
				"emptied onto the others; see granary scrub status.", false},
		{"data.reserve", &c.Data.Reserve,
			"Free space that blocks leave for metadata and deletions.\n" +
				"0: 1 % of the disk, at least 256Mi and at most 4Gi.", false},
		{"data.fsync", &c.Data.Fsync,
			"Wait for the disk before a block counts as written. False may lose\n" +
				"acknowledged data when power fails.", false},

		{"peers.listen", &c.Peers.Listen,
			"Address for other nodes. Empty: 127.0.0.1:3901, or, if advertise is set,\n" +
				"its port on every interface.", false},
		{"peers.advertise", &c.Peers.Advertise,
			"Address that other nodes dial, host:port. Empty: the one listened at.", false},

		{"s3.listen", &c.S3.Listen,
			"Address for S3 clients.", false},
		{"s3.region", &c.S3.Region,
			"The region that clients sign for.", false},
		{"s3.domains", &c.S3.Domains,
			"Domains for virtual-host style: with [\"s3.example.org\"], the host\n" +
				"photos.s3.example.org is the bucket photos. Path style always works.", false},
		{"s3.tls_cert", &c.S3.TLSCert,
			"Certificate chain in PEM. Empty: plain HTTP.", false},
		{"s3.tls_key", &c.S3.TLSKey,
			"Private key of the certificate, in PEM.", false},
		{"s3.header_max", &c.S3.HeaderMax,
			"Bound of a request's headers.", false},
		{"s3.header_timeout", &c.S3.HeaderTimeout,
			"Time for a request's headers to arrive.", false},
		{"s3.stall_timeout", &c.S3.StallTimeout,
			"Time after which a client that neither sends nor takes data is cut.", false},
		{"s3.idle_timeout", &c.S3.IdleTimeout,
			"Time that a connection is kept open between requests.", false},
		{"s3.connections_max", &c.S3.ConnectionsMax,
			"Connections of clients at a time; more wait to be accepted.", false},

		{"k2v.listen", &c.K2V.Listen,
			"Address for K2V clients. Empty: none; 127.0.0.1:3904 with --dev.", false},
		{"k2v.value_max", &c.K2V.ValueMax,
			"Bound of one value. The concurrent values that one of n replicas wrote into\n" +
				"an item may take 3.5Mi / n together, so at most 1.1Mi fit with 3 replicas.", false},

		{"admin.listen", &c.Admin.Listen,
			"Address of the admin API over TCP, also for /livez, /readyz and /metrics.\n" +
				"Empty: only the socket. Beyond loopback it needs a certificate.", false},
		{"admin.tls_cert", &c.Admin.TLSCert,
			"Certificate chain in PEM.", false},
		{"admin.tls_key", &c.Admin.TLSKey,
			"Private key of the certificate, in PEM.", false},
		{"admin.token_hash", &c.Admin.TokenHash,
			"Hash of the bearer token, as granary config token prints it.", true},

		{"metadata.fsync", &c.Metadata.Fsync,
			"Wait for the disk before a commit counts. False may lose acknowledged\n" +
				"writes, or all metadata of the node, when power fails.", false},
		{"metadata.snapshot_every", &c.Metadata.SnapshotEvery,
			"How often a copy of the metadata store is put into the data folder, for\n" +
				"granary restore. 0s: never.", false},
		{"metadata.snapshots", &c.Metadata.Snapshots,
			"How many copies are kept. Each takes as much space as the store.\n" +
				"0: none are taken.", false},

		{"reclaim.delay", &c.Reclaim.Delay,
			"How long the blocks of what was replaced or deleted stay: longer than\n" +
				"read_max, since somebody may be reading them. A restart begins it anew.", false},
		{"reclaim.read_max", &c.Reclaim.ReadMax,
			"Longest time that one download may take.", false},
		{"reclaim.abandoned", &c.Reclaim.Abandoned,
			"Time after which an upload that nothing is heard of counts as given up.", false},
		{"reclaim.tombstones", &c.Reclaim.Tombstones,
			"Age at which the markers of deleted objects may go, once every replica knows\n" +
				"of them. 0s: they stay. A node whose clock is slow by more writes slowly.", false},

		{"log.level", &c.Log.Level,
			"debug, info, warn or error.", false},
		{"log.format", &c.Log.Format,
			"text or json.", false},
	}
}

// setText sets a key from the environment or a flag.
func (k key) setText(text string) error {
	switch t := k.target.(type) {
	case *string:
		*t = text
	case *bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%.40q: want true or false", text)
		}
		*t = b
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%.40q: want a whole number", text)
		}
		*t = n
	case *Size:
		size, err := ParseSize(text)
		if err != nil {
			return err
		}
		*t = size
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%.40q: want a time like 30s or 2m", text)
		}
		*t = d
	case *[]string:
		*t = nil
		for _, item := range strings.Split(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				*t = append(*t, item)
			}
		}
	}
	return nil
}

// setTOML sets a key from a decoded value.
func (k key) setTOML(value any) error {
	switch t := k.target.(type) {
	case *bool:
		b, ok := value.(bool)
		if !ok {
			return fmt.Errorf("%s: want true or false", describe(value))
		}
		*t = b
	case *int:
		n, ok := value.(int64)
		if !ok {
			return fmt.Errorf("%s: want a whole number", describe(value))
		}
		*t = int(n)
	case *[]string:
		list, ok := value.([]any)
		if !ok {
			return fmt.Errorf("%s: want a list of texts", describe(value))
		}
		*t = nil
		for _, item := range list {
			s, ok := item.(string)
			if !ok {
				return fmt.Errorf("%s in a list of texts", describe(item))
			}
			*t = append(*t, s)
		}
	case *Size:
		if n, ok := value.(int64); ok {
			value = strconv.FormatInt(n, 10)
		}
		return k.setQuoted(value, `a size in quotes, like "500G"`)
	default:
		return k.setQuoted(value, "a text in quotes")
	}
	return nil
}

func (k key) setQuoted(value any, want string) error {
	s, ok := value.(string)
	if !ok {
		return fmt.Errorf("%s: want %s", describe(value), want)
	}
	return k.setText(s)
}

func describe(value any) string {
	switch v := value.(type) {
	case string:
		return fmt.Sprintf("%.40q", v)
	case map[string]any:
		return "a table"
	case []any:
		return "a list"
	}
	return fmt.Sprintf("%.40s", fmt.Sprint(value))
}

// text returns the value of a key as TOML.
func (k key) text() string {
	switch t := k.target.(type) {
	case *string:
		return quote(*t)
	case *Size:
		return quote(t.String())
	case *time.Duration:
		return quote(shortDuration(*t))
	case *[]string:
		items := make([]string, len(*t))
		for i, item := range *t {
			items[i] = quote(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case *bool:
		return strconv.FormatBool(*t)
	case *int:
		return strconv.Itoa(*t)
	}
	return ""
}

// shortDuration returns a time without the zero units at its end: 2m, not 2m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// quote returns a TOML basic string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
