package k2v

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"granary/core/auth"
)

// operation is one row of the API.
type operation struct {
	name   string
	writes bool // needs the write permission, else the read permission
	waits  bool // may take as long as the client wants
	params []string
	run    func(*call) error
}

// The operations. params are the query parameters that each knows.
var (
	opReadItem   = &operation{name: "ReadItem", params: []string{"sort_key"}, run: (*call).readItem}
	opPollItem   = &operation{name: "PollItem", waits: true, run: (*call).pollItem}
	opInsertItem = &operation{name: "InsertItem", writes: true, params: []string{"sort_key"},
		run: (*call).insertItem}
	opDeleteItem = &operation{name: "DeleteItem", writes: true, params: []string{"sort_key"},
		run: (*call).deleteItem}
	opReadIndex   = &operation{name: "ReadIndex", run: (*call).readIndex}
	opInsertBatch = &operation{name: "InsertBatch", writes: true, run: (*call).insertBatch}
	opReadBatch   = &operation{name: "ReadBatch", run: (*call).readBatch}
	opDeleteBatch = &operation{name: "DeleteBatch", writes: true, params: []string{"delete"},
		run: (*call).deleteBatch}
	opPollRange = &operation{name: "PollRange", waits: true, run: (*call).pollRange}
	opPreflight = &operation{name: "Preflight", run: (*call).preflight} // by a browser, and not signed
)

// request is what a request asks for.
type request struct {
	op         *operation
	bucketName string
	pk         string // empty: of the bucket
	params     url.Values
}

func (r *request) name() string {
	if r.op == nil {
		return "Unknown"
	}
	return r.op.name
}

func (r *request) waits() bool { return r.op != nil && r.op.waits }

// requestLine returns path and query as they stood on the request line.
func requestLine(r *http.Request) (path, query string) {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, query, _ = strings.Cut(r.RequestURI, "?")
		return path, query
	}
	return r.URL.EscapedPath(), r.URL.RawQuery
}

// parse finds out what a request asks for.
func parse(h *http.Request) (r request, err error) {
	path, query := requestLine(h)
	name, pk, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if r.bucketName, err = url.PathUnescape(name); err != nil {
		return r, badRequest("path: malformed percent escape")
	}
	if r.pk, err = url.PathUnescape(pk); err != nil {
		return r, badRequest("path: malformed percent escape")
	}
	if r.params, err = url.ParseQuery(query); err != nil {
		return r, badRequest("query: %v", err)
	}
	if r.op, err = route(h.Method, &r); err != nil {
		return r, err
	}
	if r.bucketName == "" {
		return r, badRequest("path: want /<bucket> or /<bucket>/<partition key>")
	}
	for _, p := range slices.Sorted(maps.Keys(r.params)) {
		if r.op.writes && !slices.Contains(r.op.params, p) && !strings.HasPrefix(p, "X-Amz-") {
			return r, badRequest("query: unknown parameter %.40q of %s; it knows %q", p, r.op.name,
				r.op.params)
		}
	}
	if strings.HasSuffix(r.op.name, "Item") && !r.params.Has("sort_key") {
		return r, badRequest("sort_key: missing in the query")
	}
	return r, nil
}

// route finds the operation.
func route(method string, r *request) (*operation, error) {
	p, item := r.params, r.pk != ""
	switch {
	case method == http.MethodOptions:
		return opPreflight, nil
	case item && (method == http.MethodGet || method == http.MethodHead) && p.Has("causality_token"):
		return opPollItem, nil
	case item && (method == http.MethodGet || method == http.MethodHead):
		return opReadItem, nil
	case item && method == http.MethodPut:
		return opInsertItem, nil
	case item && method == http.MethodDelete:
		return opDeleteItem, nil
	case item && (method == http.MethodPost || method == "SEARCH") && p.Has("poll_range"):
		return opPollRange, nil
	case !item && (method == http.MethodGet || method == http.MethodHead):
		return opReadIndex, nil
	case !item && (method == "SEARCH" || method == http.MethodPost && p.Has("search")):
		return opReadBatch, nil
	case !item && method == http.MethodPost && p.Has("delete"):
		return opDeleteBatch, nil
	case !item && method == http.MethodPost:
		return opInsertBatch, nil
	}
	return nil, refuse("MethodNotAllowed", "K2V has no %.20s of this path and query; see docs/k2v.md", method)
}

// body reads the request's body, of up to most bytes; what names it in errors.
func (c *call) body(what string, most int) ([]byte, error) {
	r := c.signed()
	spec, err := auth.NewBodySpec(&r, c.verified.Payload)
	if err != nil {
		return nil, err
	}
	tooLong := badRequest("%s: more than %d bytes", what, most)
	if spec.Length > int64(most) {
		return nil, tooLong
	}
	spec.SkipMD5 = true
	var src io.Reader = http.NoBody
	if c.http.Body != nil {
		src = c.http.Body
	}
	b, err := io.ReadAll(io.LimitReader(auth.NewBody(src, c.verified.Payload, spec), int64(most)+1))
	var a *auth.Error
	switch {
	case errors.As(err, &a):
		return nil, err
	case err != nil:
		return nil, badRequest("%s: it did not arrive whole: %v", what, err)
	case len(b) > most:
		return nil, tooLong
	}
	return b, nil
}

// document decodes the request's body, which must have no fields that v has not.
func (c *call) document(v any) error {
	b, err := c.body("body", documentMax)
	if err != nil {
		return err
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	var wrong *json.UnmarshalTypeError
	switch err := d.Decode(v); {
	case errors.As(err, &wrong) && wrong.Field == "":
		return badRequest("body: a %s is not what the request takes; see docs/k2v.md", wrong.Value)
	case errors.As(err, &wrong):
		return badRequest("body: %s: a %s is not what it takes", wrong.Field, wrong.Value)
	case err != nil:
		return badRequest("body: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); err != io.EOF {
		return badRequest("body: something follows the document")
	}
	return nil
}

// value decodes a value in base64; nil is a deletion.
func value(field string, text *string) ([]byte, error) {
	if text == nil {
		return nil, nil
	}
	b, err := base64.StdEncoding.DecodeString(*text)
	if err != nil {
		return nil, badRequest("%s: not base64", field)
	}
	return b, nil
}

// timeout reads a number of seconds.
func timeout(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	s, err := strconv.ParseFloat(text, 64)
	if err != nil || !(s >= 1 && s <= 600) {
		return 0, badRequest("timeout: %.20q; want 1 to 600 seconds", text)
	}
	return time.Duration(s * float64(time.Second)), nil
}

// flag and number read parameters of a query.
func (r *request) flag(name string) (bool, error) {
	switch v := r.params.Get(name); v {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, badRequest("%s: %.20q; want true or false", name, v)
	}
}

func (r *request) number(name string) (int, error) {
	v := r.params.Get(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		return 0, badRequest("%s: %.20q; want a whole number from 1", name, v)
	}
	return n, nil
}

// at names an element of a batch in errors.
func at(i int, err error) error {
	if err == nil {
		return nil
	}
	f := classify(err, true)
	return &failure{code: f.code, message: fmt.Sprintf("[%d].%s", i, f.message), cause: err}
}
