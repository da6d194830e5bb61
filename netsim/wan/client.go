//go:build linux

package wan

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Client asks a network that another process serves.
type Client struct{ name string }

// ErrDown is that no network (of that name) is up.
var ErrDown = errors.New("no such network is up")

// Connect returns a client of the network of that name. Errors: ErrDown.
func Connect(name string) (*Client, error) {
	c := &Client{name: name}
	_, err := c.Places()
	return c, err
}

// ask makes one request. space is the namespace that came with the answer, or nil.
func (c *Client) ask(q request) (a answer, space *os.File, err error) {
	conn, err := net.DialUnix("unix", nil, socketOf(c.name))
	if errors.Is(err, unix.ECONNREFUSED) {
		return a, nil, fmt.Errorf("%s: %w: start it with wan up", c.name, ErrDown)
	}
	if err != nil {
		return a, nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(answerTimeout))
	text, err := json.Marshal(q)
	if err != nil {
		return a, nil, err
	}
	if _, err := conn.Write(text); err != nil {
		return a, nil, err
	}
	buf, rights := make([]byte, messageMax), make([]byte, unix.CmsgSpace(4))
	n, rightsLen, _, _, err := conn.ReadMsgUnix(buf, rights)
	if err != nil {
		return a, nil, fmt.Errorf("network %s did not answer: %w", c.name, err)
	}
	if rightsLen > 0 {
		if space, err = fileOf(rights[:rightsLen]); err != nil {
			return a, nil, err
		}
	}
	if err := json.Unmarshal(buf[:n], &a); err != nil {
		return a, space, err
	}
	if a.Error != "" {
		return a, space, errors.New(a.Error)
	}
	return a, space, nil
}

// fileOf is the file that a control message carries.
func fileOf(rights []byte) (*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) == 0 {
		return nil, errors.Join(errors.New("no file came with the answer"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return nil, errors.Join(errors.New("no file came with the answer"), err)
	}
	unix.CloseOnExec(fds[0])
	return os.NewFile(uintptr(fds[0]), "namespace"), nil
}

// Places returns all nodes.
func (c *Client) Places() ([]Place, error) {
	a, _, err := c.ask(request{Op: "places"})
	return a.Places, err
}

// Cut loses every packet between a and b; see Network.Cut.
func (c *Client) Cut(a, b string) error {
	_, _, err := c.ask(request{Op: "cut", A: a, B: b})
	return err
}

// Heal undoes Cut; see Network.Heal.
func (c *Client) Heal(a, b string) error {
	_, _, err := c.ask(request{Op: "heal", A: a, B: b})
	return err
}

// Set changes settings of the path of two zones or two nodes, in one direction: delay, jitter, loss,
// bandwidth, as a topology file has them. What is not named stays.
func (c *Client) Set(from, to string, settings map[string]string) error {
	_, _, err := c.ask(request{Op: "set", A: from, B: to, Settings: settings})
	return err
}

// Stats returns what the router counted, and lets it begin anew if reset.
func (c *Client) Stats(reset bool) (Stats, error) {
	a, _, err := c.ask(request{Op: "stats", Reset: reset})
	if err != nil {
		return Stats{}, err
	}
	return *a.Stats, nil
}

// Down ends the network, and waits until it has. What still runs in its namespaces goes on, without a
// network.
func (c *Client) Down() error {
	if _, _, err := c.ask(request{Op: "down"}); err != nil {
		return err
	}
	for {
		_, err := c.Places()
		if errors.Is(err, ErrDown) {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
}

// Enter runs f on a thread in the namespace of a node; see Network.Enter.
func (c *Client) Enter(node string, f func() error) error {
	_, space, err := c.ask(request{Op: "space", A: node})
	if err != nil {
		return err
	}
	defer space.Close()
	return enter(space, f)
}

// Exec replaces this process by a program that runs in the namespace of a node. The program finds the
// addresses of the nodes in its environment, as WAN_NODE, and that of its own as WAN_SELF. It returns only
// with an error.
func (c *Client) Exec(node string, argv []string) error {
	a, space, err := c.ask(request{Op: "space", A: node})
	if err != nil {
		return err
	}
	defer space.Close()
	program, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	env := os.Environ()
	for _, p := range a.Places {
		env = append(env, "WAN_"+p.Name+"="+p.Addr.String())
		if p.Name == node {
			env = append(env, "WAN_SELF="+p.Addr.String())
		}
	}
	runtime.LockOSThread() // the program takes over the namespace of the thread that starts it
	defer runtime.UnlockOSThread()
	if err := unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err != nil {
		return explain(os.NewSyscallError("setns", err))
	}
	return fmt.Errorf("run %s: %w", program, unix.Exec(program, argv, env))
}

// Only returns the name of the network that is up, if there is one only. Errors: ErrDown, and several.
func Only() (string, error) {
	// Abstract sockets are listed here and nowhere else; a listening one has the flag 10000.
	table, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return "", err
	}
	var names []string
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 8 || fields[3] != "00010000" {
			continue
		}
		if name, ours := strings.CutPrefix(fields[7], socketOf("").Name); ours {
			names = append(names, name)
		}
	}
	switch len(names) {
	case 0:
		return "", fmt.Errorf("%w: start one with wan up", ErrDown)
	case 1:
		return names[0], nil
	}
	return "", fmt.Errorf("several networks are up: say -name, one of %s", strings.Join(names, " "))
}
