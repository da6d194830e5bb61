package stopwatch

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"granary/core/auth"
	"granary/core/bucket"
	"granary/sim/workload/wire"
	"granary/sim/world"
)

// timeout bounds a request.
const timeout = 10 * time.Minute

// Client makes signed requests of one machine, from a place without distance to it. It belongs to one task of
// the world's Env.
type Client struct {
	world   *world.World
	machine int
	wire    wire.Client
	signer  auth.Signer
	content *rand.Rand
}

// NewClient returns a client of the machine of that number, which uses a key.
func NewClient(w *world.World, machine int, key bucket.Key) *Client {
	return &Client{
		world: w, machine: machine, wire: wire.Client{Sched: w.Sched, Env: w.Env},
		signer: auth.Signer{Key: auth.KeyID(key.ID), Secret: auth.Secret(key.Secret), Region: world.Region,
			Service: "s3"},
		content: w.Sched.Rand(fmt.Sprintf("stopwatch/%d", machine)),
	}
}

// Lap is what one request took.
type Lap struct {
	Total time.Duration // until the whole answer was there
	First time.Duration // until the first byte of the answer's body was; Total without a body
	Tail  time.Duration // from the last byte of the request's body on; Total without a body
	Bytes int64         // of the answer's body
}

// Do makes a request with a body of size random bytes, none if size is 0, and reads the whole answer.
//
// Errors: a status other than 2xx, with the answer; *wire.Error.
func (c *Client) Do(method, target string, size int64) (Lap, error) {
	env, handler, up := c.world.Serve(c.machine)
	if !up {
		return Lap{}, fmt.Errorf("%s %s: machine %d is down", method, target, c.machine)
	}
	req, err := c.request(method, target, size)
	if err != nil {
		return Lap{}, err
	}
	now := c.world.Sched.Now
	start, sent := now(), now()
	if size > 0 {
		req.Body = &body{left: size, random: c.content, ended: func() { sent = now() }}
	}
	resp, err := c.wire.Do(env, handler, req, timeout)
	if err != nil {
		return Lap{}, fmt.Errorf("%s %s: %w", method, target, err)
	}
	defer resp.Close()
	lap := Lap{}
	buf := make([]byte, 64<<10)
	var text []byte
	for {
		n, err := resp.Body.Read(buf)
		if lap.Bytes == 0 {
			lap.First = now() - start
		}
		lap.Bytes += int64(n)
		if resp.Status >= 300 && len(text) < 1<<10 {
			text = append(text, buf[:n]...)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return lap, fmt.Errorf("%s %s: %w", method, target, err)
		}
	}
	lap.Total, lap.Tail = now()-start, now()-sent
	if resp.Status >= 300 {
		return lap, fmt.Errorf("%s %s: status %d: %s", method, target, resp.Status, text)
	}
	return lap, nil
}

func (c *Client) request(method, target string, size int64) (wire.Request, error) {
	req := wire.Request{Method: method, Target: target, Host: "sim", Header: http.Header{}, Length: size}
	path, query, _ := strings.Cut(target, "?")
	_, err := c.signer.Sign(&auth.Request{Method: method, Path: path, Query: query, Host: req.Host,
		Header: req.Header, ContentLength: size}, c.world.Env.Wall(),
		auth.PayloadHash(auth.Unsigned, [32]byte{}))
	return req, err
}

// Pause lets time pass without a request.
func (c *Client) Pause(ctx context.Context, d time.Duration) error { return c.world.Env.Sleep(ctx, d) }

// body is random bytes; ended is called when the last of them was read.
type body struct {
	left   int64
	random *rand.Rand
	ended  func()
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), b.left)]
	for i := 0; i < len(p); i += 8 {
		word := b.random.Uint64()
		for k := i; k < min(i+8, len(p)); k++ {
			p[k] = byte(word)
			word >>= 8
		}
	}
	if b.left -= int64(len(p)); b.left == 0 {
		b.ended()
	}
	return len(p), nil
}
