package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"granary/core/api/k2v"
	"granary/core/auth"
)

// Doer carries requests: an *http.Client, or what stands for one.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// answerMax bounds an answer, in bytes.
const answerMax = 256 << 20

// Client makes requests about one bucket. All fields but Now must be set. Safe for concurrent use if HTTP is.
type Client struct {
	HTTP     Doer
	Endpoint string // as a URL: http://127.0.0.1:3904
	Bucket   string
	Region   string
	Key      auth.KeyID
	Secret   auth.Secret
	// Now is the time that requests are signed with. The caller gives it, time.Now in a program.
	Now func() time.Time
}

// Token is the causality token of what was read; it is opaque. Empty: nothing was read.
type Token string

// Value is one of the concurrent values of an item; nil is a deletion.
type Value []byte

// Item is what was read of an item. Several values were written without knowledge of each other.
type Item struct {
	SortKey string
	Token   Token
	Values  []Value
}

// Error is what the server refused a request with.
type Error struct {
	Status  int
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("k2v: %s (%d): %s", e.Code, e.Status, e.Message) }

// Kinds of errors, for errors.Is.
var (
	ErrNoSuchItem = errors.New("no such item")
	ErrNothingNew = errors.New("nothing new")
)

// Is matches ErrNoSuchItem.
func (e *Error) Is(target error) bool { return target == ErrNoSuchItem && e.Code == "NoSuchKey" }

// Answer is a whole response.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Raw signs and makes any request; target is path and query, escaped. What is refused is an answer, no error.
func (c *Client) Raw(ctx context.Context, method, target string, header http.Header, body []byte) (Answer,
	error) {
	u, err := url.Parse(strings.TrimSuffix(c.Endpoint, "/") + target)
	if err != nil {
		return Answer{}, fmt.Errorf("k2v: endpoint %q: %w", c.Endpoint, err)
	}
	if header == nil {
		header = http.Header{}
	}
	req := (&http.Request{Method: method, URL: u, Host: u.Host, Header: header, Body: http.NoBody,
		ContentLength: int64(len(body))}).WithContext(ctx)
	if len(body) > 0 {
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	signer := auth.Signer{Key: c.Key, Secret: c.Secret, Region: c.Region, Service: k2v.Service,
		PathTwice: true}
	_, err = signer.Sign(&auth.Request{Method: method, Path: u.EscapedPath(), Query: u.RawQuery, Host: u.Host,
		Header: header, ContentLength: req.ContentLength}, c.Now(),
		auth.PayloadHash(auth.Hashed, sha256.Sum256(body)))
	if err != nil {
		return Answer{}, err
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	a := Answer{Status: resp.StatusCode, Header: resp.Header}
	if a.Body, err = io.ReadAll(io.LimitReader(resp.Body, answerMax)); err != nil {
		return a, fmt.Errorf("k2v: read the answer: %w", err)
	}
	return a, nil
}

// ask makes a request. pk is empty for one about the bucket.
func (c *Client) ask(ctx context.Context, method, pk string, query url.Values, header http.Header,
	body []byte) (
	Answer, error) {
	target := "/" + auth.EscapePath(c.Bucket)
	if pk != "" {
		target += "/" + auth.EscapePath(pk)
	}
	if len(query) > 0 {
		target += "?" + strings.ReplaceAll(query.Encode(), "+", "%20")
	}
	a, err := c.Raw(ctx, method, target, header, body)
	switch {
	case err != nil:
		return a, err
	case a.Status == http.StatusNotModified:
		return a, ErrNothingNew
	case a.Status >= 300:
		e := &Error{Status: a.Status}
		if json.Unmarshal(a.Body, e) != nil || e.Code == "" {
			e.Code, e.Message = http.StatusText(a.Status), fmt.Sprintf("%.200q", a.Body)
		}
		return a, e
	}
	return a, nil
}

// document is ask with a document to send, and one to read.
func (c *Client) document(ctx context.Context, method, pk string, query url.Values, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	a, err := c.ask(ctx, method, pk, query, http.Header{"Content-Type": {"application/json"}}, body)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(a.Body, out); err != nil {
		return fmt.Errorf("k2v: the answer is not understood (another version?): %w", err)
	}
	return nil
}

// item is ask for one item.
func (c *Client) item(ctx context.Context, pk string, query url.Values) (Item, error) {
	a, err := c.ask(ctx, "GET", pk, query, http.Header{"Accept": {"application/json"}}, nil)
	if err != nil {
		return Item{}, err
	}
	item := Item{SortKey: query.Get("sort_key"), Token: Token(a.Header.Get(k2v.TokenHeader))}
	if err := json.Unmarshal(a.Body, &item.Values); err != nil {
		return item, fmt.Errorf("k2v: the answer is not understood (another version?): %w", err)
	}
	return item, nil
}

// Read returns an item.
//
// Errors: ErrNoSuchItem if it was never written; *Error.
func (c *Client) Read(ctx context.Context, pk, sk string) (Item, error) {
	return c.item(ctx, pk, url.Values{"sort_key": {sk}})
}

// Poll waits until an item has changed since token, for up to wait, in whole seconds from 1 to 600. An empty
// token waits for its creation.
//
// Errors: ErrNothingNew when the time is over; *Error.
func (c *Client) Poll(ctx context.Context, pk, sk string, token Token, wait time.Duration) (Item, error) {
	if token == "" {
		token = emptyToken
	}
	return c.item(ctx, pk, url.Values{"sort_key": {sk}, "causality_token": {string(token)},
		"timeout": {seconds(wait)}})
}

// emptyToken is that of having seen nothing.
const emptyToken = "AAAAAAAAAAA"

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

// Insert writes a value in place of what was read with token; a nil value deletes. It returns the token of
// the new value if nothing stands beside it, else an empty one.
//
// Errors: *Error; what is not an *Error of a status below 500 may have happened.
func (c *Client) Insert(ctx context.Context, pk, sk string, token Token, v Value) (Token, error) {
	header, method := http.Header{}, "PUT"
	if token != "" {
		header.Set(k2v.TokenHeader, string(token))
	}
	if v == nil {
		method = "DELETE"
	}
	a, err := c.ask(ctx, method, pk, url.Values{"sort_key": {sk}}, header, v)
	return Token(a.Header.Get(k2v.TokenHeader)), err
}
