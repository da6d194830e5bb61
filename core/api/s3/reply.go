package s3

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"granary/core/auth"
	"granary/core/object"
)

// set sets a header of the answer; name is canonical.
func (c *call) set(name, value string) { c.w.Header()[name] = []string{value} }

// head sends the head of the answer. Length is that of the body, -1 for a status without one.
func (c *call) head(status int, length int64) {
	if length >= 0 {
		c.set("Content-Length", strconv.FormatInt(length, 10))
	}
	c.status = status
	c.w.WriteHeader(status)
}

// empty answers without a body.
func (c *call) empty(status int) error {
	length := int64(0)
	if status == http.StatusNoContent || status == http.StatusNotModified {
		length = -1
	}
	c.head(status, length)
	return nil
}

// send answers with a document.
func (c *call) send(status int, d *doc) error {
	c.set("Content-Type", "application/xml")
	c.head(status, int64(len(d.b)))
	if c.http.Method == http.MethodHead {
		return nil
	}
	n, err := c.w.Write(d.b)
	c.sent += int64(n)
	if err != nil {
		return errAborted
	}
	return nil
}

// document answers 200 with a document that build appends to a buffer of the free list.
func (c *call) document(build func(*doc)) error {
	d := doc{b: c.h.free.take()}
	defer func() { c.h.free.give(d.b) }()
	build(&d)
	return c.send(http.StatusOK, &d)
}

// fail answers with an error, and logs it. It returns errAborted when the answer has already begun.
func (c *call) fail(err error) error {
	f := classify(err, c.running && c.op.writes)
	c.log(f, err)
	if c.status != 0 {
		return errAborted
	}
	if f.status == http.StatusNotModified {
		return c.empty(f.status)
	}
	if f.wait > 0 {
		c.set("Retry-After", strconv.Itoa(f.wait))
	}
	d := doc{b: make([]byte, 0, 1024)}
	c.errorDocument(&d, f)
	return c.send(f.status, &d)
}

// errorDocument builds the document of an error, which has no namespace.
func (c *call) errorDocument(d *doc, f *failure) {
	d.b = append(d.b, xmlHead...)
	d.open("Error")
	d.text("Code", f.name)
	d.text("Message", f.text())
	if len(f.details) == 0 && f.name == "NoSuchKey" {
		d.text("Key", string(c.key))
	} else if len(f.details) == 0 && f.name == "NoSuchBucket" {
		d.text("BucketName", c.bucketName)
	}
	for _, e := range f.details {
		d.text(e.name, e.value)
	}
	d.text("Resource", c.path)
	d.text("RequestId", c.id)
	d.text("HostId", c.h.host)
	d.close("Error")
}

// log writes the one line of a failed request. What the client caused is Info, what the server did is Warn.
func (c *call) log(f *failure, err error) {
	write := c.h.env.Info
	if f.status >= 500 || c.status != 0 {
		write = c.h.env.Warn
	}
	if f.status == http.StatusNotModified {
		return
	}
	write("request failed", "request", c.id, "operation", c.opName, "status", f.status, "code", f.name,
		"bucket", c.bucketName, "key", printable(string(c.key)), "signer", string(c.signer.ID),
		"cut_off", c.status != 0, "error", logText(err))
}

// logText is an error's text without what a signature was made of.
func logText(err error) string {
	var a *auth.Error
	if errors.As(err, &a) {
		return a.Error()
	}
	return err.Error()
}

// checksums sets the headers of checksums.
func (c *call) checksums(sums []object.Checksum) {
	for _, s := range sums {
		if name := checksumHeader(s.Algo); name != "" {
			c.set(name, s.Value)
			if s.Type != "" {
				c.set("X-Amz-Checksum-Type", s.Type)
			}
		}
	}
}

// checksumHeader returns the canonical header of a checksum algorithm.
func checksumHeader(algo string) string {
	a, err := auth.ParseAlgorithm(algo)
	if err != nil {
		return ""
	}
	return a.Header()
}

// checksumElements adds the elements of checksums.
func (d *doc) checksumElements(sums []object.Checksum) {
	typ := ""
	for _, s := range sums {
		if checksumHeader(s.Algo) != "" {
			d.text("Checksum"+s.Algo, s.Value)
			typ = s.Type
		}
	}
	d.some("ChecksumType", typ)
}

// quoted returns an ETag with its quotes.
func quoted(etag string) string { return `"` + etag + `"` }

// unquoted returns an ETag without quotes, as clients send it either way.
func unquoted(etag string) string { return strings.Trim(strings.TrimSpace(etag), `"`) }

// httpTime formats a time for a header.
func httpTime(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

// itoa formats a number.
func itoa(n int64) string { return strconv.FormatInt(n, 10) }
