package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Region is what clients of every cluster sign for.
const Region = "us-east-1"

// Options say what to run. Binary and Folder must be set.
type Options struct {
	Binary string   // path of granary
	Folder string   // an empty folder, made if it is absent; Close leaves it
	Env    []string // added to the environment of every process, as KEY=value
}

// Key is an access key that may create buckets.
type Key struct{ ID, Secret string }

// Cluster is a set of running nodes that make one store. It belongs to one goroutine.
type Cluster struct {
	Nodes []*Node
	Key   Key
}

// Dev starts a --dev store and waits until it is ready, for which it returns the time.
func Dev(ctx context.Context, o Options) (*Cluster, time.Duration, error) {
	if err := os.MkdirAll(o.Folder, 0o700); err != nil {
		return nil, 0, err
	}
	n, err := newNode(o, "dev", "")
	if err != nil {
		return nil, 0, err
	}
	c := &Cluster{Nodes: []*Node{n}}
	took, err := n.Restart(ctx)
	if err == nil {
		c.Key, err = n.devKey()
	}
	if err != nil {
		return nil, 0, errors.Join(err, c.Close())
	}
	return c, took, nil
}

// devKey reads the key that a --dev store keeps in its folder.
func (n *Node) devKey() (Key, error) {
	var k struct {
		ID     string `json:"key_id"`
		Secret string `json:"secret"`
	}
	raw, err := os.ReadFile(n.Data + "/dev.json")
	if err == nil {
		err = json.Unmarshal(raw, &k)
	}
	return Key(k), err
}

// Three makes a cluster of three nodes in three zones as a user would: init on one, join on two, a key.
func Three(ctx context.Context, o Options) (*Cluster, error) {
	c, err := Found(ctx, o, 3)
	if err != nil {
		return nil, err
	}
	err = c.Grow(ctx, o)
	if err == nil {
		err = c.Grow(ctx, o)
	}
	if err == nil {
		err = c.MakeKey(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Found makes the first node of a cluster, which waits for more unless replicas is 1.
func Found(ctx context.Context, o Options, replicas int) (*Cluster, error) {
	if err := os.MkdirAll(o.Folder, 0o700); err != nil {
		return nil, err
	}
	n, err := newNode(o, "node1", "zone1")
	if err != nil {
		return nil, err
	}
	c := &Cluster{Nodes: []*Node{n}}
	err = n.launch("init", "--replicas", fmt.Sprint(replicas), "--zone", n.Zone)
	if err == nil {
		err = n.await(ctx, "found a cluster", func() error { _, err := n.tokens(); return err })
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

var tokenForm = regexp.MustCompile(`granary-join-[A-Za-z0-9_-]+`)

// tokens returns the join tokens that the node has printed.
func (n *Node) tokens() ([]string, error) {
	raw, err := os.ReadFile(n.Log)
	if err != nil {
		return nil, err
	}
	found := tokenForm.FindAllString(string(raw), -1)
	if len(found) == 0 {
		return nil, errors.New("no join token in its output")
	}
	return found, nil
}

// Place is where a node runs that does not choose its own ports on loopback.
type Place struct {
	Name, Zone string
	S3, Peers  string   // host:port to listen at
	K2V        string   // likewise; empty: none
	Gateway    bool     // it stores nothing
	Prefix     []string // before every command line of the node: what enters its network, for example
}

// At makes a cluster of three replicas at places, the first of which founds it, with a key. They must be in
// three zones or more, not counting those of gateways.
func At(ctx context.Context, o Options, places []Place) (*Cluster, error) {
	if err := os.MkdirAll(o.Folder, 0o700); err != nil {
		return nil, err
	}
	c := &Cluster{}
	err := c.settle(ctx, o, places)
	if err == nil {
		err = c.MakeKey(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// settle starts the nodes one after the other, and gives all of them their part in the layout.
func (c *Cluster) settle(ctx context.Context, o Options, places []Place) error {
	for i, p := range places {
		n := o.node(p)
		args := []string{"init", "--replicas", "3", "--min-zones", "3", "--zone", p.Zone}
		member := func() error { _, err := n.tokens(); return err }
		if i > 0 {
			token, err := c.Token(ctx, i-1)
			if err != nil {
				return err
			}
			args = []string{"join", token, "--zone", p.Zone}
			member = func() error { return n.inCluster(ctx) }
		}
		if p.Gateway {
			args = append(args, "--gateway")
		}
		c.Nodes = append(c.Nodes, n)
		if err := n.launch(args...); err != nil {
			return err
		}
		if err := n.await(ctx, "become a member", member); err != nil {
			return err
		}
	}
	if err := c.WaitReady(ctx); err != nil {
		return err
	}
	// The first layout was made when three zones were there; this takes in who came after it. It is refused
	// while the founder has not heard of a node that it is up.
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return c.Nodes[0].await(ctx, "apply the layout", func() error {
		_, err := c.Nodes[0].Run(ctx, "layout", "apply")
		return err
	})
}

// Grow lets one more node join, in a zone of its own, by a token of the first.
func (c *Cluster) Grow(ctx context.Context, o Options) error {
	index := len(c.Nodes) + 1
	n, err := newNode(o, fmt.Sprint("node", index), fmt.Sprint("zone", index))
	if err != nil {
		return err
	}
	token, err := c.Token(ctx, index-2)
	if err != nil {
		return err
	}
	c.Nodes = append(c.Nodes, n)
	if err := n.launch("join", token, "--zone", n.Zone); err != nil {
		return err
	}
	return n.await(ctx, "join", func() error { return n.inCluster(ctx) })
}

// Token returns the first node's join token of that index, or a new one.
func (c *Cluster) Token(ctx context.Context, index int) (string, error) {
	first := c.Nodes[0]
	if found, err := first.tokens(); err != nil || index < len(found) {
		return found[index], err
	}
	out, err := first.Run(ctx, "token")
	if err != nil {
		return "", err
	}
	token := tokenForm.FindString(out)
	if token == "" {
		return "", fmt.Errorf("granary token printed no token: %q", out)
	}
	return token, nil
}

// Outsider runs a command of a node that belongs to nothing, to its end, and returns what it printed.
func Outsider(ctx context.Context, o Options, args ...string) (string, error) {
	if err := os.MkdirAll(o.Folder, 0o700); err != nil {
		return "", err
	}
	n, err := newNode(o, "outsider", "")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return n.Run(ctx, args...)
}

// inCluster reports, with the reason, whether the node belongs to a cluster. It may still wait for others.
func (n *Node) inCluster(ctx context.Context) error {
	err := n.Ready(ctx)
	if errors.Is(err, errNotReady) && !strings.Contains(err.Error(), "no cluster") {
		return nil
	}
	return err
}

// WaitReady waits until every node serves.
func (c *Cluster) WaitReady(ctx context.Context) error {
	for _, n := range c.Nodes {
		if err := n.WaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// MakeKey waits until the cluster is ready and creates a key that may create buckets.
func (c *Cluster) MakeKey(ctx context.Context) error {
	if err := c.WaitReady(ctx); err != nil {
		return err
	}
	out, err := c.Nodes[0].Run(ctx, "key", "create", "bench", "--create-buckets", "--show-secret", "--json")
	if err != nil {
		return err
	}
	var key struct{ ID, Secret string }
	if err := json.Unmarshal([]byte(out), &key); err != nil || key.ID == "" || key.Secret == "" {
		return fmt.Errorf("granary key create printed %q: %w", out, err)
	}
	c.Key = Key(key)
	return nil
}

// Usage sums the CPU time and memory of all processes.
func (c *Cluster) Usage() (Usage, error) {
	var sum Usage
	for _, n := range c.Nodes {
		u, err := n.Usage()
		if err != nil {
			return sum, err
		}
		sum.CPU += u.CPU
		sum.Peak += u.Peak
		sum.RSS += u.RSS
		sum.Anon += u.Anon
	}
	return sum, nil
}

// Stop asks all nodes to end at the same time, and fails if one does not do so cleanly.
func (c *Cluster) Stop(ctx context.Context) error {
	errs := make([]error, len(c.Nodes))
	var wait sync.WaitGroup
	for i, n := range c.Nodes {
		wait.Go(func() { errs[i] = n.Stop(ctx) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

// Close kills what still runs.
func (c *Cluster) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var errs []error
	for _, n := range c.Nodes {
		errs = append(errs, n.Kill(ctx))
	}
	return errors.Join(errs...)
}
