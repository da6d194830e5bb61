package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"granary/core/api/admin"
	"granary/core/node"
	"granary/core/object"
	"granary/core/rt"
	"granary/core/table"
	"granary/prod/bolt"
	"granary/prod/config"
	"granary/prod/diskfs"
	"granary/prod/sched"
	"granary/prod/tcp"
	"granary/prod/telemetry"
)

// ExitBroken is the exit code after a broken invariant or a failed sync.
const ExitBroken = 3

// StopTimeout is how long requests and background writes may take to finish when the node is stopped.
const StopTimeout = 30 * time.Second

// Options say what to run. Config must be valid.
type Options struct {
	Config config.Config
	// Dev runs a store for trying things out: one node, for this machine only, with a key and a bucket.
	Dev bool
	// Version is what status shows.
	Version string
	// Log is where log lines go. nil: standard error.
	Log io.Writer
	// Exit ends the process. nil: os.Exit.
	Exit func(code int)
}

// Daemon is a running node. Start makes it; Stop ends it.
type Daemon struct {
	opts  Options
	began time.Time
	dev   Credentials

	log       *telemetry.Log
	meter     *telemetry.Meter
	folder    *folder
	doors     *listeners
	env       *sched.Env
	transport *tcp.Transport
	kv        *bolt.Store
	room      room
	disk      *blockDisks
	node      *node.Node
	servers   []*http.Server
	conns     atomic.Int64 // open for S3
	k2vConns  atomic.Int64
	adminOpen atomic.Int64

	stopping atomic.Bool
	failed   chan error
	stop     sync.Once
}

// Start opens the data folder and serves. On an error nothing is left open.
//
// Errors: those of the data folder; addresses in use; damaged stores.
func Start(ctx context.Context, opts Options) (d *Daemon, err error) {
	if opts.Exit == nil {
		opts.Exit = os.Exit
	}
	if opts.Log == nil {
		opts.Log = os.Stderr
	}
	d = &Daemon{opts: opts, began: time.Now(), failed: make(chan error, 4)}
	d.log, err = telemetry.NewLog(telemetry.LogOptions{Out: opts.Log, Level: opts.Config.Log.Level,
		JSON: opts.Config.Log.Format == "json"})
	if err != nil {
		return nil, err
	}
	d.meter = telemetry.NewMeter(d.log)
	if err := d.open(ctx); err != nil {
		if d.node != nil {
			ended, cancel := context.WithCancel(ctx)
			cancel()
			d.node.Stop(ended)
		}
		d.close()
		return nil, err
	}
	d.serve()
	d.log.Info("ready", "version", opts.Version, "s3", d.S3URL(), "data", opts.Config.Data.Folder,
		"node", d.env.Self().Short(), "took", time.Since(d.began).Round(time.Millisecond))
	return d, nil
}

func (d *Daemon) open(ctx context.Context) (err error) {
	c, kind := d.opts.Config, kindNode
	if d.opts.Dev {
		kind = kindDev
	}
	if d.folder, err = openFolder(c.Data.Folder, kind); err != nil {
		return err
	}
	if d.doors, err = listen(d.folder, c); err != nil {
		return err
	}
	identity, err := tcp.LoadOrCreateKey(d.folder.file(keyName))
	if err != nil {
		return err
	}
	d.env = sched.New(tcp.IDOf(identity), sched.Options{Logger: d.log, Meter: d.meter, Fatal: d.broken})
	peers := tcp.Config{Identity: identity, Advertise: "none"}
	if !d.opts.Dev {
		peers.Listen, peers.Advertise = c.PeerListen(), c.Peers.Advertise
	}
	if d.transport, err = tcp.Listen(peers); err != nil {
		return fmt.Errorf("%w; choose the address by peers.listen", err)
	}
	if err := d.openStores(); err != nil {
		return err
	}
	reclaim := object.ReclaimAfter(c.Reclaim.Delay, c.Reclaim.ReadMax, c.Reclaim.Abandoned)
	n, err := node.Open(ctx, node.Config{Env: d.env, Transport: d.transport, KV: d.kv, Disk: d.disk.Array,
		Identity: identity, Name: d.name(), Addr: d.transport.Addr(), Region: c.S3.Region,
		Domains: c.S3.Domains, ValueMax: int(c.K2V.ValueMax), Room: d.room.check,
		Reclaim: &reclaim, Tombstones: table.TombstonesAfter(c.Reclaim.Tombstones),
		RolledBack: func(err error) { d.failed <- err }})
	if err != nil {
		return err
	}
	d.node = n
	d.node.Start()
	d.startSnapshots()
	if !d.opts.Dev {
		return nil
	}
	if d.dev, err = loadOrCreateDev(d.folder); err != nil {
		return err
	}
	return prepareDev(ctx, d.node, d.dev, d.facts(ctx).Capacity)
}

// startSnapshots begins to take copies of the metadata store, if the configuration wants any.
func (d *Daemon) startSnapshots() {
	c := d.opts.Config
	if c.Metadata.Snapshots == 0 || c.Metadata.SnapshotEvery == 0 {
		return
	}
	s := &snapshots{env: d.env, job: d.node.Jobs().New("metadata snapshot", "bytes"), kv: d.kv,
		data: d.folder.path, every: c.Metadata.SnapshotEvery, keep: c.Metadata.Snapshots,
		reserve: int64(c.Data.Reserve), noSync: !c.Metadata.Fsync}
	rt.NewGroup(d.env, d.env.Background()).Keep("metadata snapshots", s.run)
}

// openStores opens the metadata store and the disk side by side, for either may take its time.
func (d *Daemon) openStores() error {
	c := d.opts.Config
	var disk error
	var wg sync.WaitGroup
	wg.Go(func() { disk = d.openDisk() })
	opts := bolt.DefaultOptions()
	opts.Fsync, opts.Failed = c.Metadata.Fsync, d.storeFailed
	kv, err := bolt.Open(d.env, d.folder.file(metadataName), opts)
	if err == nil {
		d.kv = kv
		d.room = room{path: d.folder.path, reserve: int64(c.Data.Reserve), stats: kv.Stats}
	}
	wg.Wait()
	return errors.Join(err, disk)
}

// openDisk opens the disks of the blocks, which must be those of the last start.
func (d *Daemon) openDisk() (err error) {
	disk, err := d.folder.openDisks(d.env, d.opts.Config.Data, d.storeFailed, false)
	if err == nil {
		d.disk = disk
	}
	return err
}

// diskOptions says where the block disk is, and which it was at the last start; the zero id if there was
// none.
func (f *folder) diskOptions(c config.Data) (diskfs.Options, error) {
	opts := diskfs.Options{Root: c.Blocks, Reserve: int64(c.Reserve), NoSync: !c.Fsync}
	if opts.Root == "" {
		opts.Root = f.file(blocksName)
	}
	raw, err := os.ReadFile(f.file(diskName))
	if errors.Is(err, os.ErrNotExist) {
		return opts, nil
	}
	if err == nil {
		opts.ID, err = diskfs.ParseID(strings.TrimSpace(string(raw)))
	}
	if err != nil {
		return opts, fmt.Errorf("file %s: %w", f.file(diskName), err)
	}
	return opts, nil
}

func (d *Daemon) name() string {
	if n := d.opts.Config.Node.Name; n != "" {
		return n
	}
	host, _ := os.Hostname()
	return host
}

// serve answers at the open doors.
func (d *Daemon) serve() {
	h := admin.New(admin.Config{Env: d.env, Cluster: d.node.Cluster(), Buckets: d.node.Buckets(),
		Facts: d.facts, Ready: d.ready, Jobs: d.node.Jobs(), Blocks: d.node.Blocks(),
		Rows:    d.node.Tables(),
		Metrics: d.meter.Handler(), Authorize: d.authorize})
	d.gauges()
	limits := d.opts.Config.S3
	d.serveAt(d.doors.s3, server(d.env, d.log, "S3", d.node.S3(), limits, &d.conns))
	if d.doors.k2v != nil {
		d.serveAt(d.doors.k2v, server(d.env, d.log, "K2V", d.node.K2V(), limits, &d.k2vConns))
	}
	limits.HeaderMax = 64 << 10
	d.serveAt(d.doors.socket, server(d.env, d.log, "admin", h.Trusted(), limits, &d.adminOpen))
	if d.doors.admin != nil {
		d.serveAt(d.doors.admin, server(d.env, d.log, "admin", h.Guarded(), limits, &d.adminOpen))
	}
}

func (d *Daemon) serveAt(l net.Listener, s *http.Server) {
	d.servers = append(d.servers, s)
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			d.failed <- fmt.Errorf("serve at %s: %w", l.Addr(), err)
		}
	}()
}

func (d *Daemon) authorize(token string) bool {
	return config.TokenMatches(d.opts.Config.Admin.TokenHash, token)
}

func (d *Daemon) ready() error {
	if d.stopping.Load() {
		return errors.New("the node is stopping")
	}
	return d.node.Ready()
}

// gauges are the measurements that are taken when somebody asks.
func (d *Daemon) gauges() {
	g := d.meter.Func
	g("ready", "1 when S3 requests are served.", func() float64 {
		if d.ready() != nil {
			return 0
		}
		return 1
	})
	g("s3_connections", "Open connections of S3 clients.", func() float64 { return float64(d.conns.Load()) })
	g("k2v_connections", "Open connections of K2V clients.",
		func() float64 { return float64(d.k2vConns.Load()) })
	g("k2v_polls", "K2V polls that wait.", func() float64 { return float64(d.node.Items().Waiting()) })
	g("block_buffers", "Buffers of blocks in use.",
		func() float64 { return float64(d.node.Blocks().BuffersUsed()) })
	g("metadata_bytes", "Size of the metadata store.",
		func() float64 { return float64(d.kv.Stats().SizeBytes) })
	g("metadata_snapshot_bytes", "Size of all its snapshots.",
		func() float64 { return float64(snapshotBytes(d.folder.path)) })
	g("metadata_free_bytes", "Reusable space in it.",
		func() float64 { return float64(d.kv.Stats().FreeBytes) })
	g("metadata_queued", "Updates waiting for the next commit.",
		func() float64 { return float64(d.kv.Stats().Queued) })
	g("metadata_commits", "Commits since the start.", func() float64 { return float64(d.kv.Stats().Commits) })
	g("metadata_updates", "Updates since the start.", func() float64 { return float64(d.kv.Stats().Updates) })
	g("disk_total_bytes", "Size of the block disk.",
		func() float64 { return float64(d.facts(d.env.Background()).DiskTotal) })
	g("disk_free_bytes", "What blocks may still take of it.",
		func() float64 { return float64(d.facts(d.env.Background()).DiskFree) })
}

// facts is what status shows of the process.
func (d *Daemon) facts(ctx context.Context) admin.Facts {
	c := d.opts.Config
	f := admin.Facts{
		Version: d.opts.Version, Dev: d.opts.Dev, Name: d.name(), Uptime: time.Since(d.began),
		S3Listen: reachable(d.doors.s3.Addr()), S3TLS: c.S3.TLS(), S3Beyond: beyond(d.doors.s3.Addr()),
		S3Region: c.S3.Region, S3Domains: c.S3.Domains,
		PeersAdvertise: d.transport.Addr(), MetadataFsync: c.Metadata.Fsync, BlocksFsync: c.Data.Fsync,
		MetadataBytes: d.kv.Stats().SizeBytes, SnapshotBytes: snapshotBytes(d.folder.path),
		Zone: c.Node.Zone, Capacity: uint64(c.Node.Capacity),
	}
	if d.doors.k2v != nil {
		f.K2VListen, f.K2VBeyond = reachable(d.doors.k2v.Addr()), beyond(d.doors.k2v.Addr())
	}
	if !d.opts.Dev {
		f.PeersListen = c.PeerListen()
	}
	if err := d.room.check(); err != nil {
		f.Full = err.Error()
	}
	f.Disks = d.disk.facts(ctx)
	usage, err := d.disk.Usage(ctx)
	if err != nil {
		f.DiskError = err.Error()
		return f
	}
	f.DiskTotal, f.DiskFree = usage.Total, usage.Free
	if f.Capacity == 0 {
		reserve := int64(c.Data.Reserve)
		if reserve == 0 {
			reserve = diskfs.DefaultReserve(usage.Total)
		}
		f.Capacity = uint64(max(usage.Total-reserve, 0))
	}
	return f
}

// reachable returns a listener's address as one to dial from this machine.
func reachable(a net.Addr) string {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil || !ap.Addr().IsUnspecified() {
		return a.String()
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ap.Port()).String()
}

// beyond reports whether others than this machine can connect to a listener.
func beyond(a net.Addr) bool {
	ap, err := netip.ParseAddrPort(a.String())
	return err != nil || !ap.Addr().Unmap().IsLoopback()
}

// broken ends the process after a broken invariant.
func (d *Daemon) broken(b rt.Broken) {
	d.log.Error("an invariant is broken; the node stops at once so that it does no harm", "what", b.What)
	d.end("granary stopped at once: " + b.Error() +
		"\nThis is a defect of granary; please report it with the log." +
		" What was acknowledged is on the disk.")
}

// storeFailed ends the process after a failed sync.
func (d *Daemon) storeFailed(err error) {
	d.log.Error("a store failed; the node stops at once so that nothing unsafe is acknowledged", "err", err)
	d.end("granary stopped at once: " + err.Error() +
		"\nThe disk did not store what it was given, and what it will say of it" +
		" later cannot be trusted. Check the disk before the next start.")
}

func (d *Daemon) end(text string) {
	d.log.Flush()
	fmt.Fprintln(d.opts.Log, text)
	d.opts.Exit(ExitBroken)
}

// S3URL is where S3 is served.
func (d *Daemon) S3URL() string { return d.scheme() + reachable(d.doors.s3.Addr()) }

// K2VURL is where K2V is served, empty if it is not.
func (d *Daemon) K2VURL() string {
	if d.doors.k2v == nil {
		return ""
	}
	return d.scheme() + reachable(d.doors.k2v.Addr())
}

func (d *Daemon) scheme() string {
	if d.opts.Config.S3.TLS() {
		return "https://"
	}
	return "http://"
}

// AdminAddr is the address of the admin API over TCP, empty if there is none.
func (d *Daemon) AdminAddr() string {
	if d.doors.admin == nil {
		return ""
	}
	return d.doors.admin.Addr().String()
}

// Data is the data folder, absolute.
func (d *Daemon) Data() string {
	path, err := filepath.Abs(d.opts.Config.Data.Folder)
	if err != nil {
		return d.opts.Config.Data.Folder
	}
	return path
}

// Dev is the access key of a --dev store.
func (d *Daemon) Dev() Credentials { return d.dev }

// Stop ends the node: it is no longer ready, accepts nothing, and lets requests and background writes
// finish until ctx ends. Then all is closed, and what was still running is cut. It reports an error if
// something was cut.
func (d *Daemon) Stop(ctx context.Context) (err error) {
	d.stop.Do(func() {
		d.stopping.Store(true)
		d.log.Info("stopping: finishing requests and background writes")
		for _, s := range d.servers { // S3 first: the admin API goes on saying what happens
			if e := s.Shutdown(ctx); e != nil {
				err = fmt.Errorf("some requests were cut, for they took too long: %w", e)
				s.Close()
			}
		}
		d.node.Stop(ctx)
		err = errors.Join(err, d.close())
		if err != nil {
			d.log.Warn("stopped, not cleanly", "err", err)
		} else {
			d.log.Info("stopped")
		}
		d.log.Flush()
	})
	return err
}

// taskTimeout is how long tasks get to end once all they wait for is over.
const taskTimeout = 5 * time.Second

// close closes what is open, from the top down.
func (d *Daemon) close() error {
	var errs []error
	if d.doors != nil {
		d.doors.close()
	}
	if d.transport != nil {
		errs = append(errs, d.transport.Close())
	}
	if d.env != nil && !d.env.Stop(taskTimeout) {
		errs = append(errs, errors.New("some tasks did not end"))
	}
	if d.kv != nil {
		errs = append(errs, d.kv.Close())
	}
	if d.disk != nil {
		errs = append(errs, d.disk.Close())
	}
	if d.folder != nil {
		errs = append(errs, d.folder.close())
	}
	return errors.Join(errs...)
}
