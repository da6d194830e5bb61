package k2v

import (
	"errors"
	"net/http"

	"granary/core/bucket"
	"granary/core/cors"
)

// crossOrigin lets the page that made the request read the answer, if the bucket's rules say so. It comes
// before the signature is looked at, so that a page can tell why it is refused.
func (c *call) crossOrigin() {
	if c.bucketName == "" || !cors.CrossOrigin(c.http.Header) {
		return
	}
	rules, err := c.Buckets.CORS(c.ctx, c.bucketName)
	if err == nil { // else the request itself meets the error, or one before it
		rules.Answer(c.w.Header(), c.http.Header, c.http.Method)
	}
}

// preflight answers a browser that asks whether it may let a page make a request. It is not signed: so that
// it tells nobody which buckets there are, one without rules is answered as one that is not there.
func (c *call) preflight() error {
	rules, err := c.Buckets.CORS(c.ctx, c.bucketName)
	if err != nil && !errors.Is(err, bucket.ErrNoSuchBucket) {
		return err
	}
	switch err := rules.Preflight(c.w.Header(), c.http.Header); {
	case errors.Is(err, cors.ErrIncomplete):
		return badRequest("headers: a preflight request needs Origin and Access-Control-Request-Method")
	case err != nil:
		return refuse("AccessDenied", "no CORS rule allows this: the bucket has none for the origin, method "+
			"and headers, or is not there")
	}
	c.head(http.StatusOK, 0)
	return nil
}
