package s3

import (
	"errors"

	"granary/core/auth"
	"granary/core/bucket"
	"granary/core/cors"
	"granary/core/table"
)

// signed returns the request as the signature covers it.
func (c *call) signed() auth.Request {
	return auth.Request{
		Method: c.http.Method, Path: c.path, Query: c.query, Host: c.http.Host, Header: c.http.Header,
		ContentLength: c.http.ContentLength, TransferEncoding: c.http.TransferEncoding,
	}
}

// authenticate verifies the signature and learns who signed.
func (c *call) authenticate() error {
	r := c.signed()
	v, err := c.h.verifier.Verify(&r, c.h.env.Wall(), c.lookup)
	if err != nil {
		if a := (*auth.Error)(nil); errors.As(err, &a) {
			return err
		}
		f := classify(err, false) // the store could not answer; who asks is not known, so it is not told why
		f.message = ""
		return f
	}
	if v.Mechanism == auth.Anonymous {
		return refuse("AccessDenied", "Anonymous access is not possible: sign the request.")
	}
	c.verified = v
	return nil
}

// lookup finds the secret of an access key, and keeps the key.
func (c *call) lookup(id auth.KeyID) (auth.Secret, error) {
	k, err := c.h.buckets.Key(c.ctx, bucket.KeyID(id))
	if errors.Is(err, bucket.ErrNoSuchKey) {
		return "", auth.ErrUnknownKey
	}
	if err != nil {
		return "", err
	}
	c.signer = k
	return auth.Secret(k.Secret), nil
}

// enterBucket finds the bucket and checks what the signer may do in it.
func (c *call) enterBucket() error {
	switch c.op.need {
	case needSigned:
		return nil
	case needCreate:
		if !c.signer.CreateBuckets {
			return refuse("AccessDenied", "This key may not create buckets.")
		}
		return nil
	}
	b, err := c.h.buckets.ByName(c.ctx, c.bucketName)
	if err != nil {
		return err
	}
	if err := c.allow(b, c.op.need); err != nil {
		return err
	}
	if err := c.expectOwner(b, "X-Amz-Expected-Bucket-Owner"); err != nil {
		return err
	}
	c.bucket = b
	if !cors.CrossOrigin(c.http.Header) { // else it is done
		b.CORS.Answer(c.w.Header(), c.http.Header, c.http.Method)
	}
	return c.setConsistency()
}

// headerConsistency names the consistency of one request; without it the bucket's counts.
const headerConsistency = "X-Granary-Consistency"

// setConsistency gives the request its level. What is written never depends on an eventual read.
func (c *call) setConsistency() error {
	level := c.bucket.Consistency
	if values := c.fields[headerConsistency]; len(values) > 0 {
		var err error
		if level, err = table.ParseConsistency(values[0]); err != nil {
			return invalidArgument(headerConsistency, printable(values[0]), sentence(err.Error()))
		}
	}
	if level == table.Eventual && c.op.writes {
		level = table.ReadAfterWrite
	}
	c.ctx = table.WithConsistency(c.ctx, level)
	return nil
}

// allow checks the signer's grant in a bucket.
func (c *call) allow(b bucket.Bucket, n need) error {
	g, _ := b.Grant(c.signer.ID)
	ok, what := false, ""
	switch n {
	case needGrant:
		ok, what = g.Read || g.Write || g.Owner, "any"
	case needRead:
		ok, what = g.Read, "the read"
	case needWrite:
		ok, what = g.Write, "the write"
	case needOwner:
		ok, what = g.Owner, "the owner"
	}
	if !ok {
		return refuse("AccessDenied", "This key lacks "+what+" permission in bucket "+b.Name+".")
	}
	return nil
}

// expectOwner compares a bucket's owner with the one that a header expects.
func (c *call) expectOwner(b bucket.Bucket, header string) error {
	for _, want := range c.fields[header] {
		if bucket.KeyID(want) != b.Owner {
			return refuse("AccessDenied", "The bucket "+b.Name+" has another owner than expected.")
		}
	}
	return nil
}
