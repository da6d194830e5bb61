package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Times that a node is given.
const (
	readyTimeout = 30 * time.Second
	stopTimeout  = 40 * time.Second // the binary gives itself 30 s
)

// Node is one granary process and what it keeps between starts. It belongs to one goroutine.
type Node struct {
	Name string
	Zone string // empty for a --dev store
	Data string // its data folder
	Log  string // the file with all its output
	S3   string // host:port
	K2V  string // host:port

	binary string
	prefix []string // of every command line
	env    []string
	proc   *process // nil: never started
}

// newNode prepares a node on free ports, without starting it.
func newNode(o Options, name, zone string) (*Node, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	return o.node(Place{Name: name, Zone: zone, S3: ports[0], Peers: ports[1], K2V: ports[2]}), nil
}

// node prepares a node at a place, without starting it.
func (o Options) node(p Place) *Node {
	n := &Node{Name: p.Name, Zone: p.Zone, Data: filepath.Join(o.Folder, p.Name),
		Log: filepath.Join(o.Folder, p.Name+".log"),
		S3:  p.S3, K2V: p.K2V, binary: o.Binary, prefix: p.Prefix}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GRANARY_") && !strings.HasPrefix(e, "AWS_") {
			n.env = append(n.env, e)
		}
	}
	n.env = append(n.env, "GRANARY_DATA_FOLDER="+n.Data, "GRANARY_S3_LISTEN="+n.S3,
		"GRANARY_PEERS_LISTEN="+p.Peers, "GRANARY_K2V_LISTEN="+p.K2V,
		"GRANARY_NODE_NAME="+p.Name)
	n.env = append(n.env, o.Env...)
	return n
}

// freePorts returns addresses on loopback at which nothing listened a moment ago.
func freePorts(count int) ([]string, error) {
	var addrs []string
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // only now, so that all differ
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// Binary is the path of granary.
func (n *Node) Binary() string { return n.binary }

// Env is the environment of the node's commands: folder and ports, and nothing of another store.
func (n *Node) Env() []string { return slices.Clone(n.env) }

// command returns a command of the binary for this node, which finds folder and ports in its environment.
func (n *Node) command(args ...string) *exec.Cmd {
	line := append(append(slices.Clone(n.prefix), n.binary), args...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env, cmd.Dir = n.env, filepath.Dir(n.Data)
	return cmd
}

// Run runs a command of the binary about this node to its end and returns what it printed on standard output.
// An error holds what it printed on standard error.
func (n *Node) Run(ctx context.Context, args ...string) (string, error) {
	plain := n.command(args...)
	cmd := exec.CommandContext(ctx, plain.Path, plain.Args[1:]...)
	cmd.Env, cmd.Dir, cmd.SysProcAttr = plain.Env, plain.Dir, dieWithParent()
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return string(out), fmt.Errorf("granary %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}

// launch starts the node's process by a command that serves in the foreground.
func (n *Node) launch(args ...string) error {
	if n.Up() {
		return fmt.Errorf("node %s runs already", n.Name)
	}
	var err error
	n.proc, err = start(n.command(args...), n.Log)
	if err != nil {
		return fmt.Errorf("start of %s: %w", n.Name, err)
	}
	return nil
}

// Up reports whether the process runs.
func (n *Node) Up() bool { return n.proc != nil && !n.proc.ended() }

// Restart starts a node whose process has ended, and returns how long it took to be ready.
func (n *Node) Restart(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	args := []string{"server"}
	if n.Zone == "" {
		args = append(args, "--dev")
	}
	if err := n.launch(args...); err != nil {
		return 0, err
	}
	err := n.WaitReady(ctx)
	return time.Since(began), err
}

// WaitReady asks /readyz until it says yes. It fails at once if the process ends.
func (n *Node) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return n.await(ctx, "be ready", func() error { return n.Ready(ctx) })
}

// await polls f, and adds the end of the log to an error.
func (n *Node) await(ctx context.Context, what string, f func() error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := poll(ctx, func() error {
		if !n.Up() {
			cancel(errors.New("its process has ended"))
		}
		return f()
	})
	if err != nil {
		return fmt.Errorf("node %s did not %s: %w\n%s", n.Name, what, err, n.LogTail(10))
	}
	return nil
}

// errNotReady is that a node answers, and says that it does not serve yet.
var errNotReady = errors.New("not ready")

// Ready asks /readyz once, at the socket in the data folder. nil means that the node serves.
func (n *Node) Ready(ctx context.Context) error {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", filepath.Join(n.Data, "admin.sock"))
		}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://admin/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil || resp.StatusCode != http.StatusOK {
		return errors.Join(fmt.Errorf("%w: %s: %s", errNotReady, resp.Status,
			strings.TrimSpace(string(text))), err)
	}
	return nil
}

// Kill ends the process as a power cut would end it, as far as a process can be: by SIGKILL.
func (n *Node) Kill(ctx context.Context) error { return n.signal(ctx, syscall.SIGKILL) }

// Signal sends a signal that the process lives through, and does not wait.
func (n *Node) Signal(s syscall.Signal) error {
	if !n.Up() {
		return fmt.Errorf("node %s does not run", n.Name)
	}
	return n.proc.cmd.Process.Signal(s)
}

// WaitEnd waits for the process to end by itself, for at most so long, and reports whether it did.
func (n *Node) WaitEnd(ctx context.Context, most time.Duration) bool {
	if n.proc == nil {
		return true
	}
	select {
	case <-n.proc.done:
		return true
	case <-time.After(most):
	case <-ctx.Done():
	}
	return false
}

// Stop asks the process to end, and fails if it does not do so cleanly.
func (n *Node) Stop(ctx context.Context) error {
	if err := n.signal(ctx, syscall.SIGTERM); err != nil {
		return err
	}
	if n.proc != nil && n.proc.err != nil {
		return fmt.Errorf("node %s ended badly: %w\n%s", n.Name, n.proc.err, n.LogTail(10))
	}
	return nil
}

func (n *Node) signal(ctx context.Context, s syscall.Signal) error {
	if !n.Up() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if err := n.proc.signal(ctx, s); err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	return nil
}

// Usage reads what the process has used since its start.
func (n *Node) Usage() (Usage, error) {
	if !n.Up() {
		return Usage{}, fmt.Errorf("node %s does not run", n.Name)
	}
	return usageOf(n.proc.cmd.Process.Pid)
}

// LogTail returns the last lines of the log, each indented.
func (n *Node) LogTail(lines int) string {
	raw, err := os.ReadFile(n.Log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return "    " + strings.Join(all[max(0, len(all)-lines):], "\n    ")
}
