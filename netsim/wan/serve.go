//go:build linux

package wan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"granary/netsim"
)

// socketOf is the abstract socket of a network: it has no file, and ends with its process.
func socketOf(name string) *net.UnixAddr {
	return &net.UnixAddr{Net: "unix", Name: "@netsim-wan/" + name}
}

const (
	messageMax    = 64 << 10
	answerTimeout = 10 * time.Second
)

// request is what a client asks, one per connection; answer what it is told. A "space" answer carries the
// namespace as a file descriptor.
type (
	request struct {
		Op       string
		A, B     string            // names of nodes or zones
		Settings map[string]string // of a path
		Reset    bool
	}
	answer struct {
		Error  string  `json:",omitempty"`
		Places []Place `json:",omitempty"`
		Stats  *Stats  `json:",omitempty"`
	}
)

// ErrUp is that a network of that name is up already.
var ErrUp = errors.New("a network of that name is up already")

// Serve answers others about the network under a name until ctx ends, a client asks for its end, or the
// router stops. The caller closes the network. Only root and the user of this process are answered. Errors:
// ErrUp; those of the system.
func Serve(ctx context.Context, name string, n *Network) error {
	l, err := net.ListenUnix("unix", socketOf(name))
	if errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("%s: %w: end it with wan down", name, ErrUp)
	}
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	go func() {
		<-n.ended
		end()
	}()
	for {
		c, err := l.AcceptUnix()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go n.talk(c, end)
	}
}

// talk answers one request.
func (n *Network) talk(c *net.UnixConn, end context.CancelFunc) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(answerTimeout))
	if !friend(c) {
		return
	}
	buf := make([]byte, messageMax)
	size, err := c.Read(buf)
	if err != nil {
		return
	}
	var (
		q     request
		a     answer
		space []byte
	)
	if err := json.Unmarshal(buf[:size], &q); err != nil {
		a.Error = err.Error()
	} else if err := n.answer(q, &a, &space); err != nil {
		a = answer{Error: err.Error()}
	}
	text, err := json.Marshal(a)
	if err != nil {
		return
	}
	c.WriteMsgUnix(text, space, nil)
	if q.Op == "down" {
		end()
	}
}

// friend reports whether the other end is root or of this process's user.
func friend(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var who *unix.Ucred
	controlErr := raw.Control(func(fd uintptr) {
		who, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return controlErr == nil && err == nil && (who.Uid == 0 || int(who.Uid) == os.Getuid())
}

func (n *Network) answer(q request, a *answer, space *[]byte) error {
	a.Places = n.Places()
	switch q.Op {
	case "places", "down":
		return nil
	case "space":
		one, err := n.node(q.A)
		if err == nil {
			*space = unix.UnixRights(int(one.space.file.Fd()))
		}
		return err
	case "cut":
		return n.Cut(q.A, q.B)
	case "heal":
		return n.Heal(q.A, q.B)
	case "set":
		path, err := n.Link(q.A, q.B)
		for setting, value := range q.Settings {
			if err == nil {
				path, err = path.With(setting, value)
			}
		}
		if err != nil {
			return err
		}
		return n.SetLink(netsim.Link{From: q.A, To: q.B, Path: path})
	case "stats":
		s := n.Stats(q.Reset)
		a.Stats = &s
		return nil
	}
	return fmt.Errorf("operation %q: %w", q.Op, errors.ErrUnsupported)
}
