package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"granary/core/api/admin"
	"granary/prod/config"
	"granary/prod/daemon"
)

const (
	// requestTimeout bounds one request of the admin API; it is longer than the server's own bound.
	requestTimeout = 40 * time.Second
	// answerMax bounds an answer, in bytes.
	answerMax = 64 << 20
)

// errNoServer means that nobody listens where the server should be.
var errNoServer = errors.New("no server answers")

// client speaks with one admin API.
type client struct {
	http  *http.Client
	base  string
	token string
	where string // for messages
}

// client returns the client of the server on the data folder, or of --admin.
func (a *app) client() (*client, error) {
	url := a.Admin
	if url == "" {
		url = a.getenv("GRANARY_ADMIN_URL")
	}
	if url != "" {
		if !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
			return nil, usageError{fmt.Errorf("--admin %s: want http://host:port or https://host:port", url)}
		}
		host := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/")
		token := a.getenv("GRANARY_ADMIN_TOKEN")
		if token != "" && host != url && !config.IsLoopback(host) {
			return nil, usageError{fmt.Errorf("--admin %s: a token is not sent beyond this machine "+
				"without TLS: use https", url)}
		}
		return &client{http: &http.Client{Timeout: requestTimeout}, base: strings.TrimSuffix(url, "/"),
			token: token, where: "at " + url}, nil
	}
	folder := a.folder()
	if a.Data == "" {
		loaded, err := a.load(settings{})
		if err != nil {
			return nil, err
		}
		folder = loaded.Config.Data.Folder
	}
	return socketClient(folder), nil
}

// socketClient returns the client of the server on a data folder.
func socketClient(data string) *client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return daemon.DialAdmin(ctx, data)
	}}
	return &client{http: &http.Client{Transport: transport, Timeout: requestTimeout}, base: "http://granary",
		where: "in " + data}
}

// call sends in, if it is not nil, and reads out, if it is not nil. A refusal is an *admin.Error.
func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("%w %s: start one with granary server", errNoServer, c.where)
		}
		var unknown *tls.CertificateVerificationError
		if errors.As(err, &unknown) {
			return fmt.Errorf("ask the server %s: %w\nif the certificate is your own, name its file in "+
				"SSL_CERT_FILE", c.where, err)
		}
		return fmt.Errorf("ask the server %s: %w", c.where, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if err != nil {
		return fmt.Errorf("read the answer of the server %s: %w", c.where, err)
	}
	if resp.StatusCode != http.StatusOK {
		refused := &admin.Error{Status: resp.StatusCode}
		if json.Unmarshal(raw, refused) != nil || refused.Message == "" {
			return fmt.Errorf("the server %s answered %s: %.200q", c.where, resp.Status, raw)
		}
		return refused
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("the answer of the server %s is not understood (another version?): %w", c.where,
			err)
	}
	return nil
}

// ask calls the server that the command line names.
func (a *app) ask(method, path string, in, out any) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	return c.call(a.ctx, method, path, in, out)
}
