package s3

import (
	"maps"
	"net/http"
	"strings"
	"unicode/utf8"

	"granary/core/bucket"
	"granary/core/object"
)

// route finds out which bucket and key the request is about, and takes its parameters apart.
func (c *call) route() error {
	var err error
	if c.params, err = parseParams(c.query); err != nil {
		return err
	}
	if err := c.hoist(); err != nil {
		return err
	}
	return c.locate()
}

// requestLine returns path and query as they stood on the request line.
func requestLine(r *http.Request) (path, query string) {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, query, _ = strings.Cut(r.RequestURI, "?")
		return path, query
	}
	return r.URL.EscapedPath(), r.URL.RawQuery // a proxy's absolute form, or no server made the request
}

// presigned reports whether a parameter is part of the signature of a presigned URL.
func presigned(name string) bool {
	switch name {
	case "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders",
		"X-Amz-Signature",
		"X-Amz-Content-Sha256":
		return true
	}
	return false
}

// hoist takes parameters that are headers in disguise out of the parameters and into the headers.
func (c *call) hoist() error {
	c.fields = c.http.Header
	kept, own := 0, false
	for _, p := range c.params {
		if presigned(p.name) || len(p.name) < 6 || !strings.EqualFold(p.name[:6], "x-amz-") {
			c.params[kept] = p
			kept++
			continue
		}
		if !own {
			own, c.fields = true, make(http.Header, len(c.http.Header)+len(c.params))
			maps.Copy(c.fields, c.http.Header)
		}
		name := http.CanonicalHeaderKey(p.name)
		if _, ok := c.fields[name]; ok {
			return invalidArgument(printable(p.name), printable(p.value),
				"Send it once, as a header or as a parameter.")
		}
		c.fields[name] = []string{p.value}
	}
	c.params = c.params[:kept]
	return nil
}

// locate splits host and path into bucket and key and checks their form.
func (c *call) locate() error {
	raw, ok := strings.CutPrefix(c.path, "/")
	if !ok {
		return refuse("InvalidURI", "")
	}
	name := c.hostBucket()
	if name == "" {
		name, raw, _ = strings.Cut(raw, "/")
		if name, ok = unescape(name, false); !ok {
			return refuse("InvalidURI", "")
		}
	}
	key, ok := unescape(raw, false)
	switch {
	case !ok:
		return refuse("InvalidURI", "")
	case name == "" && key != "":
		return refuse("InvalidBucketName", "")
	case name == "":
		return nil
	}
	c.at, c.bucketName, c.key = atBucket, name, object.Key(key)
	if err := bucket.CheckName(name); err != nil {
		return refuseCause("InvalidBucketName", "", err).with("BucketName", printable(name))
	}
	if key == "" {
		return nil
	}
	c.at = atObject
	return checkKey(key)
}

// checkKey checks the form of a key.
func checkKey(key string) error {
	if len(key) > object.KeyMax {
		f := refuse("KeyTooLongError", "").with("Size", itoa(int64(len(key))))
		return f.with("MaxSizeAllowed", itoa(object.KeyMax))
	}
	if !utf8.ValidString(key) {
		return refuse("InvalidURI", "The key is not valid UTF-8.")
	}
	return nil
}

// hostBucket returns the bucket that a virtual-host style request names, "" for path style.
func (c *call) hostBucket() string {
	host := c.http.Host
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	for _, root := range c.h.domain {
		n := len(host) - len(root) - 1
		if n > 0 && host[n] == '.' && strings.EqualFold(host[n+1:], root) {
			return strings.ToLower(host[:n])
		}
	}
	return ""
}

// choose finds the operation by method, level, selecting parameter and copy source.
func (c *call) choose() error {
	id, err := c.selected()
	if err != nil {
		return err
	}
	if id == opNone {
		id = plainOp(c.http.Method, c.at)
	}
	if _, ok := c.fields["X-Amz-Copy-Source"]; ok {
		switch id {
		case opPutObject:
			id = opCopyObject
		case opUploadPart:
			id = opUploadPartCopy
		}
	}
	if id == opNone {
		return c.unknownMethod()
	}
	c.opID, c.op = id, &operations[id]
	c.opName = c.op.name
	return nil
}

// selected returns the operation that parameters choose, opNone when none does.
func (c *call) selected() (opID, error) {
	chosen, by := opNone, ""
	for _, p := range c.params {
		rows := selectorsOf[p.name]
		if len(rows) == 0 {
			continue
		}
		row, err := c.pick(rows)
		if err != nil {
			return 0, err
		}
		if chosen != opNone && chosen != row.op {
			return 0, invalidArgument(p.name, p.value, "It contradicts the parameter "+by+".")
		}
		chosen, by = row.op, p.name
	}
	return chosen, nil
}

// pick returns the row for the request's level and method.
func (c *call) pick(rows []selector) (selector, error) {
	for _, row := range rows {
		if row.at != c.at || row.method != c.http.Method {
			continue
		}
		if row.op == opNone {
			c.opName = row.name
			f := refuse("NotImplemented", "The operation "+row.name+" is not implemented.")
			return selector{}, f.with("Operation", row.name)
		}
		return row, nil
	}
	f := refuse("MethodNotAllowed",
		"The parameter "+rows[0].param+" does not go with this method and resource.")
	return selector{}, f.with("Method", printable(c.http.Method))
}

// plainOp returns the operation of a method on a level without selecting parameters.
func plainOp(method string, at level) opID {
	switch method {
	case http.MethodGet:
		return [...]opID{opListBuckets, opListObjects, opGetObject}[at]
	case http.MethodHead:
		return [...]opID{opNone, opHeadBucket, opHeadObject}[at]
	case http.MethodPut:
		return [...]opID{opNone, opCreateBucket, opPutObject}[at]
	case http.MethodDelete:
		return [...]opID{opNone, opDeleteBucket, opDeleteObject}[at]
	}
	return opNone
}

// unknownMethod refuses a method that chooses no operation.
func (c *call) unknownMethod() error {
	if c.http.Method == http.MethodPost && c.at == atBucket {
		c.opName = "PostObject"
		return refuse("NotImplemented", "The operation PostObject (upload by a form) is not implemented.").
			with("Operation", c.opName)
	}
	return refuse("MethodNotAllowed", "").with("Method", printable(c.http.Method))
}
