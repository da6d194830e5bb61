//go:build linux

// Command wan runs a network of sites on this machine, for unmodified processes, in real time. It needs root.
//
//	wan up TOPOLOGY [-queue 100ms] [-seed 1] [-wait]     a netsim preset or a file
//	wan nodes                                            names, zones and addresses
//	wan exec NODE -- PROGRAM ARGUMENTS                   run it at a node
//	wan cut A B; wan heal A B                            nodes, zones or '*', both ways
//	wan set FROM TO delay=80ms loss=1%                   of two zones or two nodes, one way
//	wan stats [-reset]                                   packets, and how exact their timing was
//	wan down
//
// All but up take -name, if several networks are up; the name is that of the topology unless up is told
// another. Up stays in the background, or, with -wait, in the foreground until it is interrupted. However it
// ends, nothing of it stays.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"granary/netsim"
	"granary/netsim/wan"
)

const usage = `usage: wan up TOPOLOGY [-name NAME] [-queue 100ms] [-seed 1] [-wait]
       wan nodes | exec NODE -- PROGRAM … | cut A B | heal A B | set FROM TO delay=… | stats [-reset] | down
TOPOLOGY is a file or one of: `

func main() {
	err := errors.New(usage + strings.Join(netsim.Presets(), " "))
	if len(os.Args) > 1 {
		err = run(os.Args[1], os.Args[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "wan:", err)
		os.Exit(1)
	}
}

// command is one that asks a network which is up, or makes one.
type command struct {
	args  []string // without flags
	name  string
	queue time.Duration
	seed  uint64
	// sysctl are arguments key=value.
	sysctl []string
	wait   bool
	reset  bool
}

func run(verb string, args []string) error {
	var c command
	flags := flag.NewFlagSet("wan "+verb, flag.ExitOnError)
	flags.StringVar(&c.name, "name", os.Getenv("WAN_NAME"),
		"`name` of the network (WAN_NAME, else that of the topology, else the only one that is up)")
	switch verb {
	case "up":
		flags.DurationVar(&c.queue, "queue", 100*time.Millisecond,
			"longest wait for a link, beyond which packets are dropped")
		flags.Uint64Var(&c.seed, "seed", 1, "of jitter and losses")
		flags.Func("sysctl", "kernel `setting=value` of every namespace, as often as you like",
			func(s string) error {
				c.sysctl = append(c.sysctl, s)
				return nil
			})
		flags.BoolVar(&c.wait, "wait", false, "stay in the foreground")
	case "stats":
		flags.BoolVar(&c.reset, "reset", false, "begin anew")
	}
	// Flags may stand before and after the other arguments, up to "--".
	for len(args) > 0 {
		flags.Parse(args)
		if args = flags.Args(); len(args) == 0 {
			break
		}
		if verb == "exec" {
			c.args = args
			break
		}
		c.args, args = append(c.args, args[0]), args[1:]
	}
	if verb == "up" {
		return c.up()
	}
	return c.ask(verb)
}

// up makes a network, in a process of its own unless -wait is given.
func (c *command) up() error {
	if len(c.args) != 1 {
		return errors.New(usage + strings.Join(netsim.Presets(), " "))
	}
	topology, err := netsim.Load(c.args[0], os.ReadFile)
	if err != nil {
		return err
	}
	if c.name == "" {
		c.name = topology.Name
	}
	if !c.wait {
		return c.background()
	}
	sysctl, err := pairs(c.sysctl)
	if err != nil {
		return err
	}
	// The router shall wait neither for a collection, of next to nothing, nor for a processor of the
	// runtime that belongs to a thread which the machine gave no time.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(2 * wan.BufferMax)
	runtime.GOMAXPROCS(16)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	n, err := wan.Up(topology, wan.Options{Queue: c.queue, Seed: c.seed, Sysctl: sysctl})
	if err != nil {
		return err
	}
	err = wan.Serve(ctx, c.name, n)
	return errors.Join(err, n.Close())
}

// background starts this program again with -wait, and returns when the network is up.
func (c *command) background() error {
	if _, err := wan.Connect(c.name); err == nil {
		return fmt.Errorf("%s: %w: end it with wan down", c.name, wan.ErrUp)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"up", "-wait", "-name", c.name, "-queue", c.queue.String(), "-seed", fmt.Sprint(c.seed)}
	for _, s := range c.sysctl {
		args = append(args, "-sysctl", s)
	}
	cmd := exec.Command(self, append(args, c.args[0])...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("%s: %w", strings.TrimPrefix(strings.TrimSpace(said.String()), "wan: "), err)
		case <-time.After(5 * time.Millisecond):
		}
		if n, err := wan.Connect(c.name); err == nil {
			return printNodes(n)
		}
	}
}

// ask carries out a command about a network that is up.
func (c *command) ask(verb string) error {
	want := map[string]int{"nodes": 0, "cut": 2, "heal": 2, "stats": 0, "down": 0}
	if n, ok := want[verb]; ok && len(c.args) != n {
		return fmt.Errorf("wan %s takes %d names, not %q", verb, n, c.args)
	}
	if c.name == "" {
		var err error
		if c.name, err = wan.Only(); err != nil {
			return err
		}
	}
	n, err := wan.Connect(c.name)
	if err != nil {
		return err
	}
	switch verb {
	case "nodes":
		return printNodes(n)
	case "cut":
		return n.Cut(c.args[0], c.args[1])
	case "heal":
		return n.Heal(c.args[0], c.args[1])
	case "stats":
		return printStats(n, c.reset)
	case "down":
		return n.Down()
	case "set":
		return set(n, c.args)
	case "exec":
		node, argv := c.args[0], c.args[1:]
		if len(argv) > 0 && argv[0] == "--" {
			argv = argv[1:]
		}
		if len(argv) == 0 {
			return errors.New("wan exec NODE -- PROGRAM ARGUMENTS")
		}
		return n.Exec(node, argv)
	}
	return fmt.Errorf("unknown command %q\n%s%s", verb, usage, strings.Join(netsim.Presets(), " "))
}

func set(n *wan.Client, args []string) error {
	if len(args) < 3 {
		return errors.New("wan set FROM TO delay=… jitter=… loss=… bandwidth=…")
	}
	settings, err := pairs(args[2:])
	if err != nil {
		return err
	}
	return n.Set(args[0], args[1], settings)
}

// pairs reads arguments setting=value.
func pairs(args []string) (map[string]string, error) {
	settings := map[string]string{}
	for _, text := range args {
		setting, value, found := strings.Cut(text, "=")
		if !found {
			return nil, fmt.Errorf("%q: want setting=value", text)
		}
		settings[setting] = value
	}
	return settings, nil
}

func printNodes(n *wan.Client) error {
	places, err := n.Places()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "node\tzone\taddress")
	for _, p := range places {
		fmt.Fprintf(w, "%s\t%s\t%s\n", p.Name, p.Zone, p.Addr)
	}
	return w.Flush()
}

func printStats(n *wan.Client, reset bool) error {
	s, err := n.Stats(reset)
	if err != nil {
		return err
	}
	fmt.Println(s)
	return nil
}
