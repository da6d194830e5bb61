package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"granary/prod/config"
	"granary/prod/sched"
	"granary/prod/telemetry"
)

// adminConnectionsMax bounds the connections to the admin API, per listener.
const adminConnectionsMax = 256

// socketPathMax is how long the path of a Unix socket may be, in bytes.
const socketPathMax = 100

// listeners are the open doors for HTTP.
type listeners struct {
	s3     net.Listener
	k2v    net.Listener // nil: none
	socket net.Listener
	admin  net.Listener // nil: none

	cleanup func() // removes the socket
}

func (l *listeners) close() {
	for _, one := range []net.Listener{l.s3, l.k2v, l.socket, l.admin} {
		if one != nil {
			one.Close()
		}
	}
	if l.cleanup != nil {
		l.cleanup()
	}
}

// listen opens the doors; nothing is answered yet.
func listen(f *folder, c config.Config) (l *listeners, err error) {
	l = &listeners{}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.s3, err = listenTCP("S3", "s3.listen", c.S3.Listen, c.S3.TLSCert, c.S3.TLSKey,
		c.S3.ConnectionsMax); err != nil {
		return l, err
	}
	if c.K2V.Listen != "" {
		if l.k2v, err = listenTCP("K2V", "k2v.listen", c.K2V.Listen, c.S3.TLSCert, c.S3.TLSKey,
			c.S3.ConnectionsMax); err != nil {
			return l, err
		}
	}
	if c.Admin.Listen != "" {
		l.admin, err = listenTCP("the admin API", "admin.listen", c.Admin.Listen, c.Admin.TLSCert,
			c.Admin.TLSKey, adminConnectionsMax)
		if err != nil {
			return l, err
		}
	}
	socket, err := listenSocket(f.file(socketName))
	if err != nil {
		return l, err
	}
	l.socket = bound(socket, adminConnectionsMax)
	l.cleanup = func() { os.Remove(f.file(socketName)) }
	return l, nil
}

// listenTCP listens at addr, by TLS if there is a certificate.
func listenTCP(what, key, addr, cert, secret string, most int) (net.Listener, error) {
	var conf *tls.Config
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, secret)
		if err != nil {
			return nil, fmt.Errorf("certificate of %s: %w", what, err)
		}
		conf = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
			NextProtos: []string{"http/1.1"}}
	}
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen for %s at %s: another program listens there already: "+
			"stop it, or choose another address by %s (--%s)", what, addr, key,
			strings.ReplaceAll(key, ".", "-"))
	}
	if err != nil {
		return nil, fmt.Errorf("listen for %s at %s: %w", what, addr, err)
	}
	l = bound(l, most)
	if conf != nil {
		l = tls.NewListener(l, conf)
	}
	return l, nil
}

// listenSocket listens at a Unix socket that only its owner can open. The caller holds the folder, so that
// a socket that is there was left by a process that has ended.
func listenSocket(path string) (net.Listener, error) {
	os.Remove(path)
	var l net.Listener
	err := viaShortPath(path, func(short string) (err error) {
		if l, err = net.Listen("unix", short); err != nil {
			return err
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false) // its name may be the short one
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		if l != nil {
			l.Close()
		}
		return nil, fmt.Errorf("listen for the admin API at %s: %w", path, err)
	}
	return l, nil
}

// DialAdmin connects to the admin socket in a data folder.
func DialAdmin(ctx context.Context, data string) (c net.Conn, err error) {
	err = viaShortPath(filepath.Join(data, socketName), func(short string) (err error) {
		var d net.Dialer
		c, err = d.DialContext(ctx, "unix", short)
		return err
	})
	return c, err
}

// viaShortPath calls f with a path of a socket that is short enough for the kernel: through the open folder
// if its own is not.
func viaShortPath(path string, f func(string) error) error {
	if len(path) <= socketPathMax {
		return f(path)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return f("/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + filepath.Base(path))
}

// server is an http.Server with bounds; HTTP/1.1 is what S3 clients speak, and a connection of it holds
// little.
func server(env *sched.Env, l *telemetry.Log, name string, h http.Handler, s config.S3,
	open *atomic.Int64) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           &edge{env: env, next: h, stall: s.StallTimeout},
		ReadHeaderTimeout: s.HeaderTimeout,
		IdleTimeout:       s.IdleTimeout,
		MaxHeaderBytes:    int(s.HeaderMax),
		Protocols:         protocols,
		ErrorLog:          log.New(l.Std(name+" connection"), "", 0),
		BaseContext:       func(net.Listener) context.Context { return env.Background() },
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed, http.StateHijacked:
				open.Add(-1)
			}
		},
	}
}
