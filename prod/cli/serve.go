package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"granary/core/api/admin"
	"granary/core/cluster"
	"granary/prod/config"
	"granary/prod/daemon"
)

type serverCmd struct {
	Dev bool `help:"A store for trying things out: one node for this machine, with a key and a bucket."`
	settings
}

// Run runs a node until it is stopped.
func (c serverCmd) Run(a *app) error {
	loaded, err := a.load(c.settings)
	if err != nil {
		return err
	}
	release := a.untilSignal()
	d, err := a.start(loaded, c.Dev)
	if err != nil {
		return err
	}
	if err := release(); err != nil {
		return errors.Join(err, d.StopNow())
	}
	if c.Dev {
		a.welcome(d, loaded.Config)
		return d.Run(a.ctx)
	}
	var s admin.Status
	if err := socketClient(d.Data()).call(a.ctx, "GET", "/v1/status", nil, &s); err != nil {
		return errors.Join(err, d.StopNow())
	}
	a.printf("granary %s runs on %s: S3 at %s\n", s.Version, d.Data(), s.S3.Endpoint)
	if !s.Ready {
		a.printf("S3 is not served yet: %s\n", s.Missing)
	}
	return d.Run(a.ctx)
}

// errInterrupted ends a command that was told to stop before its node served.
var errInterrupted = errors.New("stopped by a signal before the node served; what it had stored is whole")

// untilSignal makes SIGINT and SIGTERM end a.ctx, so that a node that is being started is closed in order,
// until release is called, which says whether one came.
func (a *app) untilSignal() (release func() error) {
	whole := a.ctx
	ctx, stop := signal.NotifyContext(whole, syscall.SIGINT, syscall.SIGTERM)
	a.ctx = ctx
	return func() error {
		told := ctx.Err() != nil && whole.Err() == nil
		stop()
		if a.ctx = whole; told {
			return errInterrupted
		}
		return nil
	}
}

// start starts the server.
func (a *app) start(loaded *config.Loaded, dev bool) (*daemon.Daemon, error) {
	c := loaded.Config
	if dev && loaded.Origin("log.level") == "default" {
		c.Log.Level = "warn"
	}
	if dev && loaded.Origin("k2v.listen") == "default" {
		c.K2V.Listen = "127.0.0.1:" + config.K2VPort
		if loaded.Origin("s3.listen") != "default" { // the usual ports may be another store's
			c.K2V.Listen = "127.0.0.1:0"
		}
	}
	return daemon.Start(a.ctx, daemon.Options{Config: c, Dev: dev, Version: Version(), Log: a.Err})
}

// welcome prints what one needs to use a --dev store.
func (a *app) welcome(d *daemon.Daemon, c config.Config) {
	env := a.program() + " env"
	if filepath.Clean(c.Data.Folder) != config.DefaultFolder {
		env += " --data " + shellWord(c.Data.Folder)
	}
	a.printf(`granary is ready: a store for trying things out, in %s

  endpoint   %s
  key id     %s
  region     %s
  bucket     %s
  k2v        %s

In another shell, for the aws CLI and SDKs (this sets the secret too):

  eval "$(%s)"

Ctrl-C stops it; the data stays.
`, c.Data.Folder, d.S3URL(), d.Dev().KeyID, c.S3.Region, daemon.DevBucket, d.K2VURL(), env)
}

type initCmd struct {
	Replicas int  `default:"3" help:"Copies of each object, on different nodes (${default})."`
	MinZones int  `placeholder:"N" help:"Least number of zones of the copies (as many as there are)."`
	Gateway  bool `help:"This node stores nothing."`
	settings
}

// Run founds a cluster.
func (c initCmd) Run(a *app) error {
	if c.Replicas < 1 {
		return usageError{fmt.Errorf("--replicas %d: want at least 1; 3 survive the loss of a node",
			c.Replicas)}
	}
	return a.member(c.settings, nil, func(server *client, o admin.Offer) (s admin.Status, err error) {
		o.Gateway = c.Gateway
		in := admin.Init{Replicas: c.Replicas, MinZones: c.MinZones, Offer: o}
		if err = server.call(a.ctx, "POST", "/v1/init", in, &s); err != nil || a.JSON {
			return s, err
		}
		a.printf("Founded a cluster with %s, of which this node is the first.\n",
			plural(c.Replicas, "replica"))
		missing := c.Replicas
		if !c.Gateway {
			missing--
		}
		if missing < 1 {
			return s, nil
		}
		a.printf("\n%s needed. On each of them run one of these, each of which works once, within an "+
			"hour:\n\n",
			plural(missing, "more machine"))
		for range missing {
			var t admin.Token
			if err := server.call(a.ctx, "POST", "/v1/tokens", nil, &t); err != nil {
				return s, err
			}
			a.printf("  granary join %s --zone ZONE\n", t.Token)
		}
		a.printf("\nMore tokens: granary token. They connect to %s", s.Node.PeersAddress)
		if config.IsLoopback(s.Node.PeersAddress) {
			a.printf(",\nwhich only programs on this machine can reach. To let in other machines: stop "+
				"this node, write\nadvertise = \"HOST:%s\" with this machine's name under [peers] in its "+
				"granary.toml, start it with\ngranary server, and issue new tokens with granary token",
				config.PeersPort)
		}
		a.printf(".\n")
		return s, nil
	})
}

type joinCmd struct {
	Token   string `arg:"" optional:"" help:"From a member. Or -: GRANARY_JOIN_TOKEN, or a line of input."`
	Gateway bool   `help:"This node stores nothing."`
	settings
}

// Run joins a cluster.
func (c joinCmd) Run(a *app) error {
	word := c.Token
	if word == "" || word == "-" {
		if word = a.getenv("GRANARY_JOIN_TOKEN"); word == "" {
			line, err := a.readLine("join token")
			if err != nil {
				return err
			}
			word = line
		}
	}
	token, err := cluster.ParseToken(word)
	if err != nil {
		return usageError{err}
	}
	return a.member(c.settings, &token, func(server *client, o admin.Offer) (s admin.Status, err error) {
		o.Gateway = c.Gateway
		if err = server.call(a.ctx, "POST", "/v1/join", admin.Join{Token: word, Offer: o}, &s); err == nil &&
			!a.JSON {
			a.printf("Joined the cluster through %s; it has %s now.\n", token.Addr,
				plural(len(s.Nodes), "node"))
		}
		return s, err
	})
}

// member makes this node a member by act: of the server that runs on the data folder, or of one that it
// starts and then runs. token is the one to join with, nil if there is none.
func (a *app) member(s settings, token *cluster.Token,
	act func(*client, admin.Offer) (admin.Status, error)) error {
	loaded, err := a.load(s)
	if err != nil {
		return err
	}
	server := socketClient(loaded.Config.Data.Folder)
	var now admin.Status
	err = server.call(a.ctx, "GET", "/v1/status", nil, &now)
	if err == nil {
		if err := s.onlyOffer(); err != nil {
			return err
		}
		now, err = act(server, offer(loaded.Config))
		if err != nil {
			return err
		}
		return a.joined(a.awaitLayout(server, now))
	}
	if !errors.Is(err, errNoServer) {
		return err
	}
	if loaded.Config.Node.Zone == "" {
		return usageError{errors.New("no zone given: name the place this node shares its fate with by " +
			"--zone ZONE")}
	}
	if token != nil && loaded.Config.Peers == (config.Peers{}) {
		if s.Advertise = a.advertise(token.Addr); s.Advertise != nil {
			if loaded, err = a.load(s); err != nil {
				return err
			}
		}
	}
	release := a.untilSignal()
	d, err := a.start(loaded, false)
	if err != nil {
		return err
	}
	now, err = act(server, offer(loaded.Config))
	if err == nil {
		err = a.keep(loaded)
	}
	if err == nil {
		err = a.joined(a.awaitLayout(server, now))
	}
	if told := release(); told != nil {
		err = told
	}
	if err != nil {
		return errors.Join(err, d.StopNow())
	}
	if !a.JSON {
		a.printf("This process is the node, and serves until it is stopped. Later: %s server%s\n",
			a.program(), a.dataFlag())
	}
	return d.Run(a.ctx)
}

// dataFlag is how a later command names the same data folder.
func (a *app) dataFlag() string {
	switch {
	case a.Config != "":
		return " --config " + shellWord(a.Config)
	case a.Data != "":
		return " --data " + shellWord(a.Data)
	}
	return ""
}

// advertise returns this machine's address on the way to a node on another machine, nil if there is no other.
func (a *app) advertise(peer string) *string {
	if config.IsLoopback(peer) {
		return nil
	}
	c, err := net.Dial("udp", peer) // sends nothing
	if err != nil {
		return nil
	}
	defer c.Close()
	host, _, err := net.SplitHostPort(c.LocalAddr().String())
	if err != nil {
		return nil
	}
	addr := net.JoinHostPort(host, config.PeersPort)
	fmt.Fprintf(a.Err, "other nodes are told to reach this one at %s; say --advertise HOST if that is "+
		"wrong\n", addr)
	return &addr
}

// offer is what the configuration says of the node's role.
func offer(c config.Config) admin.Offer {
	return admin.Offer{Zone: c.Node.Zone, Capacity: uint64(c.Node.Capacity)}
}

// onlyOffer refuses flags that a server which runs already cannot heed.
func (s settings) onlyOffer() error {
	s.Zone, s.Capacity = nil, nil
	flags, err := s.flags()
	if err != nil {
		return usageError{err}
	}
	var names []string
	for _, f := range flags {
		if f.Flag == "" {
			f.Flag = "--set " + f.Key
		}
		names = append(names, f.Flag)
	}
	if len(names) == 0 {
		return nil
	}
	return usageError{fmt.Errorf("a server runs on this data folder already, which %s cannot change:"+
		" stop it first, or leave that out", strings.Join(names, ", "))}
}

// keep writes what was chosen into the data folder, unless a file says it already.
func (a *app) keep(loaded *config.Loaded) error {
	text := loaded.Chosen("data.folder")
	if loaded.File != "" || text == "" {
		return nil
	}
	path := filepath.Join(loaded.Config.Data.Folder, config.FileName)
	text = "# Written by granary init or join. All keys: granary config example.\n\n" + text
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("keep the configuration: %w", err)
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// awaitLayout returns the status once the cluster is ready, if it has all it was waiting for, or after a
// little while.
func (a *app) awaitLayout(server *client, s admin.Status) admin.Status {
	for range layoutPolls {
		stores := 0
		for _, n := range s.Nodes {
			if n.Capacity > 0 && !n.Removed {
				stores++
			}
		}
		if s.Ready || s.Cluster == nil || stores < s.Cluster.Replicas {
			break
		}
		select {
		case <-a.ctx.Done():
			return s
		case <-time.After(layoutPoll):
		}
		var now admin.Status
		if server.call(a.ctx, "GET", "/v1/status", nil, &now) != nil {
			break
		}
		s = now
	}
	return s
}

// layoutPolls times layoutPoll is how long join waits for the first layout before it says what is missing.
const (
	layoutPolls = 20
	layoutPoll  = 100 * time.Millisecond
)

// joined tells what is still missing.
func (a *app) joined(s admin.Status) error {
	return a.print(s, func() {
		if s.Ready {
			a.printf("The cluster is complete: S3 is served at %s. Next: granary key create NAME\n",
				s.S3.Endpoint)
			return
		}
		a.printf("\nThe cluster starts by itself once it is complete. Now: %s\n", s.Missing)
	})
}

type envCmd struct{}

// Run prints the environment of S3 clients.
func (envCmd) Run(a *app) error {
	loaded, err := a.load(settings{})
	if err != nil {
		return err
	}
	data := loaded.Config.Data.Folder
	c, err := daemon.LoadDev(data)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no --dev store in %s: start one with granary server --dev, or name "+
			"its folder by --data",
			data)
	}
	if err != nil {
		return err
	}
	var s admin.Status
	if err := socketClient(data).call(a.ctx, "GET", "/v1/status", nil, &s); err != nil {
		if errors.Is(err, errNoServer) {
			err = fmt.Errorf("%w in %s: start it with granary server --dev", errNoServer, data)
		}
		return err
	}
	type variable struct{ name, value string }
	vars := []variable{
		{"AWS_ENDPOINT_URL", s.S3.Endpoint}, {"AWS_ACCESS_KEY_ID", c.KeyID},
		{"AWS_SECRET_ACCESS_KEY", c.Secret},
		{"AWS_REGION", s.S3.Region}, {"AWS_DEFAULT_REGION", s.S3.Region},
	}
	if s.K2V != "" {
		vars = append(vars, variable{"K2V_ENDPOINT", s.K2V})
	}
	shown := map[string]string{}
	for _, v := range vars {
		if v.name != "AWS_SECRET_ACCESS_KEY" {
			shown[v.name] = v.value
		}
	}
	return a.print(shown, func() {
		for _, v := range vars {
			a.printf("export %s=%s\n", v.name, shellQuote(v.value))
		}
	})
}

// shellWord returns s as one word of a POSIX shell, quoted only where it must be.
func shellWord(s string) string {
	if s != "" && strings.Trim(s,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=+,@") == "" {
		return s
	}
	return shellQuote(s)
}

// shellQuote returns s as one quoted word of a POSIX shell.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
