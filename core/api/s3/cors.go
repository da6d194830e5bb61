package s3

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"granary/core/bucket"
	"granary/core/cors"
)

// crossOrigin lets the page that made the request read the answer, if the bucket's rules say so. It comes
// before the signature is looked at, so that a page can tell why it is refused.
func (c *call) crossOrigin() {
	if c.bucketName == "" || !cors.CrossOrigin(c.http.Header) {
		return
	}
	rules, err := c.h.buckets.CORS(c.ctx, c.bucketName)
	if err == nil { // else the request itself meets the error, or one before it
		rules.Answer(c.w.Header(), c.http.Header, c.http.Method)
	}
}

// preflight answers a browser that asks whether it may let a page make a request. It is not signed: so that
// it tells nobody which buckets there are, one without rules is answered as one that is not there.
func (c *call) preflight() error {
	c.opName = "Preflight"
	var rules cors.Rules
	if c.bucketName != "" {
		var err error
		if rules, err = c.h.buckets.CORS(c.ctx, c.bucketName); err != nil &&
			!errors.Is(err, bucket.ErrNoSuchBucket) {
			f := classify(err, false)
			f.message = "" // who asks is not known, so it is not told why
			return f
		}
	}
	switch err := rules.Preflight(c.w.Header(), c.http.Header); {
	case errors.Is(err, cors.ErrIncomplete):
		return refuse("BadRequest",
			"A preflight request needs the headers Origin and Access-Control-Request-Method.")
	case err != nil:
		return refuse("AccessForbidden", "")
	}
	return c.empty(http.StatusOK)
}

// getCORS answers GetBucketCors.
func (c *call) getCORS() error {
	if len(c.bucket.CORS) == 0 {
		return refuse("NoSuchCORSConfiguration", "").with("BucketName", c.bucketName)
	}
	return c.document(func(d *doc) { d.cors(c.bucket.CORS) })
}

// putCORS answers PutBucketCors.
func (c *call) putCORS() error {
	b, err := c.readDocument(corsMax, digestsChecked)
	if err != nil {
		return err
	}
	rules, err := parseCORS(b)
	if err != nil {
		return err
	}
	if err := c.h.buckets.SetCORS(c.ctx, c.bucket, rules); err != nil {
		return err
	}
	return c.empty(http.StatusOK)
}

// deleteCORS answers DeleteBucketCors.
func (c *call) deleteCORS() error {
	if err := c.h.buckets.SetCORS(c.ctx, c.bucket, nil); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}

// corsRule is one rule of the document.
type corsRule struct {
	ID            string    `xml:"ID"`
	AllowedOrigin []string  `xml:"AllowedOrigin"`
	AllowedMethod []string  `xml:"AllowedMethod"`
	AllowedHeader []string  `xml:"AllowedHeader"`
	ExposeHeader  []string  `xml:"ExposeHeader"`
	MaxAgeSeconds *string   `xml:"MaxAgeSeconds"`
	Rest          []unknown `xml:",any"`
}

// parseCORS parses and checks the document of a PutBucketCors.
func parseCORS(b []byte) (cors.Rules, error) {
	var x struct {
		Rule []corsRule `xml:"CORSRule"`
		Rest []unknown  `xml:",any"`
	}
	if err := unmarshal(b, "CORSConfiguration", &x); err != nil {
		return nil, err
	}
	if err := unsupported(x.Rest, "CORSConfiguration"); err != nil {
		return nil, err
	}
	rules := make(cors.Rules, 0, len(x.Rule))
	for i := range x.Rule {
		r := &x.Rule[i]
		if err := unsupported(r.Rest, "CORSRule"); err != nil {
			return nil, err
		}
		rule := cors.Rule{ID: strings.TrimSpace(r.ID), Origins: trimmed(r.AllowedOrigin),
			Methods: trimmed(r.AllowedMethod), Headers: trimmed(r.AllowedHeader),
			Expose: trimmed(r.ExposeHeader)}
		if r.MaxAgeSeconds != nil {
			n, err := strconv.ParseInt(strings.TrimSpace(*r.MaxAgeSeconds), 10, 32)
			if err != nil {
				return nil, refuse("InvalidRequest", "MaxAgeSeconds is not a number up to 2147483647.").
					with("MaxAgeSeconds", printable(*r.MaxAgeSeconds))
			}
			age := int32(n)
			rule.MaxAge = &age
		}
		rules = append(rules, rule)
	}
	return rules, rules.Check()
}

func trimmed(list []string) []string {
	for i, s := range list {
		list[i] = strings.TrimSpace(s)
	}
	return list
}

// cors adds the document of a GetBucketCors.
func (d *doc) cors(rules cors.Rules) {
	d.begin("CORSConfiguration")
	for _, r := range rules {
		d.open("CORSRule")
		d.some("ID", r.ID)
		for _, l := range []struct {
			name string
			list []string
		}{{"AllowedOrigin", r.Origins}, {"AllowedMethod", r.Methods}, {"AllowedHeader", r.Headers},
			{"ExposeHeader", r.Expose}} {
			for _, s := range l.list {
				d.text(l.name, s)
			}
		}
		if r.MaxAge != nil {
			d.int("MaxAgeSeconds", int64(*r.MaxAge))
		}
		d.close("CORSRule")
	}
	d.close("CORSConfiguration")
}
