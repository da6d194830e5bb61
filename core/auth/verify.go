package auth

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// Lookup returns the secret of an access key, ErrUnknownKey (or an error that wraps it) when there is none,
// and any other error when it could not find out. It may wait; Verify holds no lock while it runs.
type Lookup func(KeyID) (Secret, error)

// Locker guards the Verifier's cache. It is held for tens of nanoseconds and never across a Lookup.
type Locker interface {
	Lock()
	Unlock()
}

// Verifier checks requests to one region and service.
//
// Region and Service must be set. A nil Lock means no cache of derived keys: each request costs four more
// HMACs. The fields must not change after first use; a Verifier must not be copied then.
type Verifier struct {
	Region  string
	Service string // "s3", "k2v"
	// PathTwice has the path escaped a second time before it is signed, as every AWS service but S3 does.
	PathTwice bool
	// Lock guards the cache; nil means none.
	Lock Locker

	cache keyCache
}

// Verified is who sent a request, and what is promised about its body.
type Verified struct {
	Mechanism Mechanism
	Key       KeyID // empty when Anonymous
	Payload   Payload
	// At is the time of signing; zero when Anonymous.
	At time.Time
	// SignedHeaders are the lower-case names that the signature covers, sorted; nil when Anonymous.
	SignedHeaders []string
}

// Verify checks the signature of a request, given the time.
//
// A request without credentials is no error: the result says Anonymous. Everything that does not need the
// secret is checked before the look-up, so that refusing garbage costs a bounded amount of memory and no
// wait.
// Errors: *Error with the kinds of credentials, dates, headers and signature; what lookup returned,
// wrapped.
// Cost: under 10 µs and about 10 allocations with a cached key; linear in the size of the head.
// Source: "Authenticating Requests (AWS Signature Version 4)" in the S3 API reference.
func (v *Verifier) Verify(r *Request, now time.Time, lookup Lookup) (Verified, error) {
	c, err := parse(r)
	if err != nil {
		return Verified{}, err
	}
	if c.mechanism == Anonymous {
		return anonymous(r)
	}
	payload, err := v.check(r, &c, now)
	if err != nil {
		return Verified{}, err
	}
	canonical, err := appendCanonical(make([]byte, 0, 1024), r, &c, v.PathTwice)
	if err != nil {
		return Verified{}, err
	}
	key, err := v.key(c.key, c.scope, lookup)
	if err != nil {
		return Verified{}, err
	}
	toSign := appendStringToSign(make([]byte, 0, 256), c.stamp, c.scope, canonical)
	want := key.sign(toSign)
	if !equal(&want, &c.signature) {
		e := refuse(ErrSignature, "", "compare the canonical request and the string to sign with your own")
		e.Mechanism, e.CanonicalRequest, e.StringToSign = c.mechanism, string(canonical), string(toSign)
		return Verified{}, e
	}
	if payload.Mode.signed() {
		payload.chain = newChain(&key, c.stamp, c.scope, want)
	}
	return Verified{
		Mechanism: c.mechanism, Key: c.key, Payload: payload, At: c.at, SignedHeaders: c.signed,
	}, nil
}

// parse finds the credentials of a request, in the header or in the query.
func parse(r *Request) (claim, error) {
	params, err := parseQuery(r.Query)
	if err != nil {
		return claim{}, err
	}
	inQuery, err := queryMechanism(params)
	if err != nil {
		return claim{}, err
	}
	authorization, n := r.header("Authorization")
	var c claim
	switch {
	case n > 1 || n == 1 && inQuery == ByQuery:
		return claim{}, refuse(ErrTwoMechanisms, "Authorization", "sign by one header or by the query")
	case n == 1:
		c, err = parseAuthorization(authorization)
	case inQuery == ByQuery:
		c, err = parsePresigned(params)
	}
	c.params = params
	return c, err
}

// anonymous describes a request without credentials.
func anonymous(r *Request) (Verified, error) {
	value, err := r.only("X-Amz-Content-Sha256")
	if err != nil || value == "" {
		return Verified{}, err
	}
	p, err := parsePayload(value)
	if err != nil {
		return Verified{}, err
	}
	if p.Mode.signed() {
		return Verified{}, refuse(ErrMalformedContentSHA256, "X-Amz-Content-Sha256",
			"signed chunks need a signed request")
	}
	return Verified{Payload: p}, nil
}

// check does everything that needs no secret: scope, dates, signed headers, payload mode.
func (v *Verifier) check(r *Request, c *claim, now time.Time) (Payload, error) {
	for _, name := range [...]string{"X-Amz-Security-Token", "X-Amz-S3session-Token"} {
		if _, n := r.header(name); n > 0 {
			return Payload{}, refuse(ErrSessionToken, name, "use a permanent access key")
		}
	}
	if err := v.checkScope(c); err != nil {
		return Payload{}, err
	}
	if c.mechanism == ByHeader {
		if err := c.takeDate(r); err != nil {
			return Payload{}, err
		}
	}
	if err := c.checkTime(now); err != nil {
		return Payload{}, err
	}
	if err := c.checkSigned(r); err != nil {
		return Payload{}, err
	}
	return c.takePayload(r)
}

// checkScope compares the credential's region and service with ours.
func (v *Verifier) checkScope(c *claim) error {
	if c.scope.region != v.Region {
		e := c.malformed("Credential", "the region is wrong; expecting '"+v.Region+"'")
		e.Region = v.Region
		return e
	}
	if c.scope.service != v.Service {
		return c.malformed("Credential", "the service is wrong; expecting '"+v.Service+"'")
	}
	return nil
}

// takeDate takes the time of signing from the headers: x-amz-date, or Date when there is none.
func (c *claim) takeDate(r *Request) error {
	value, err := r.only("X-Amz-Date")
	if err != nil {
		return err
	}
	if value != "" {
		return c.setStamp(value)
	}
	if value, err = r.only("Date"); err != nil {
		return err
	}
	if value == "" {
		return refuse(ErrMissingDate, "X-Amz-Date", "send YYYYMMDDTHHMMSSZ")
	}
	for _, layout := range [...]string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC1123Z, amzLayout} {
		if at, err := time.Parse(layout, value); err == nil {
			c.at = at.UTC()
			c.stamp = c.at.Format(amzLayout)
			return nil
		}
	}
	return refuse(ErrMalformedDate, "Date", "send X-Amz-Date as YYYYMMDDTHHMMSSZ")
}

// checkTime compares the claim's times with each other and with now.
func (c *claim) checkTime(now time.Time) error {
	if c.scope.day != c.stamp[:len(dayLayout)] {
		return c.malformed("Credential", "its date differs from that of the request")
	}
	ahead := c.at.Sub(now)
	switch {
	case c.mechanism == ByQuery && ahead > SkewMax:
		return refuse(ErrNotYetValid, "X-Amz-Date="+c.stamp, "")
	case c.mechanism == ByQuery && -ahead > c.expires:
		return refuse(ErrExpired, "presigned URL", "it ended at "+c.at.Add(c.expires).Format(time.RFC3339))
	case c.mechanism == ByHeader && (ahead > SkewMax || -ahead > SkewMax):
		return refuse(ErrSkew, "X-Amz-Date="+c.stamp,
			"the server's time is "+now.UTC().Format(time.RFC3339)+"; at most 15 minutes may lie between")
	}
	return nil
}

// checkSigned refuses a request whose Host or x-amz-* headers are not all signed.
func (c *claim) checkSigned(r *Request) error {
	unsigned := ""
	if !c.covers("Host") {
		unsigned = "host"
	}
	for name := range r.Header { //det:ok the least name wins in any order
		if isAmz(name) && !c.covers(name) {
			if lower := strings.ToLower(name); unsigned == "" || lower < unsigned {
				unsigned = lower
			}
		}
	}
	if unsigned != "" {
		return refuse(ErrUnsignedHeader, unsigned, "sign host and every x-amz-* header that is sent")
	}
	return nil
}

// covers reports whether SignedHeaders names a header, in whatever case it is written.
func (c *claim) covers(name string) bool {
	_, ok := slices.BinarySearchFunc(c.signed, name, compareLower)
	return ok
}

// compareLower compares a lower-case name with another of any case, as if both were lower-case.
func compareLower(lower, name string) int {
	for i := range min(len(lower), len(name)) {
		b := name[i]
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		if lower[i] != b {
			return int(lower[i]) - int(b)
		}
	}
	return len(lower) - len(name)
}

// takePayload takes the payload mode from the header, or from the query of a presigned URL.
func (c *claim) takePayload(r *Request) (Payload, error) {
	value, err := r.only("X-Amz-Content-Sha256")
	if err != nil {
		return Payload{}, err
	}
	if c.mechanism == ByHeader {
		if value == "" {
			return Payload{}, refuse(ErrMissingContentSHA256, "X-Amz-Content-Sha256",
				"send the body's hash or UNSIGNED-PAYLOAD")
		}
		c.payload = value
		return parsePayload(value)
	}
	if c.payload == "" {
		c.payload = value
	}
	if c.payload == "" {
		c.payload = modeNames[Unsigned]
	}
	p, err := parsePayload(c.payload)
	if err == nil && p.Mode.signed() {
		err = refuse(ErrMalformedContentSHA256, "X-Amz-Content-Sha256", "a presigned URL cannot sign chunks")
	}
	return p, err
}

// key returns the signing key of an access key, from the cache when the secret is the one it was derived
// from.
func (v *Verifier) key(id KeyID, s scope, lookup Lookup) (signingKey, error) {
	secret, err := lookup(id)
	if errors.Is(err, ErrUnknownKey) {
		return signingKey{}, refuse(ErrUnknownKey, string(id), "")
	}
	if err != nil {
		return signingKey{}, &lookupError{err}
	}
	if v.Lock == nil {
		return deriveKey(secret, s), nil
	}
	v.Lock.Lock()
	k, ok := v.cache.get(id, secret, s.day)
	v.Lock.Unlock()
	if ok {
		return k, nil
	}
	k = deriveKey(secret, s)
	v.Lock.Lock()
	v.cache.put(id, secret, s.day, k)
	v.Lock.Unlock()
	return k, nil
}

// lookupError is a Lookup's failure to answer.
type lookupError struct{ cause error }

// Error names the operation that failed.
func (e *lookupError) Error() string { return "auth: look up access key: " + e.cause.Error() }

// Unwrap returns what the Lookup returned.
func (e *lookupError) Unwrap() error { return e.cause }
