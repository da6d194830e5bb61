package auth

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// signed returns a well-signed request that a bad-input case then spoils.
func signed(t testing.TB) *Request {
	r := &Request{
		Method: "PUT", Path: "/b/k", Query: "x=1", Host: docHost, ContentLength: 5,
		Header: map[string][]string{"X-Amz-Meta-A": {"one"}, "Content-Type": {"text/plain"}},
	}
	if _, err := docSigner().Sign(r, docTime, modeNames[Unsigned]); err != nil {
		t.Fatal(err)
	}
	return r
}

// presigned is signed for the query form.
func presigned(t testing.TB) *Request {
	r := &Request{Method: "GET", Path: "/b/k", Query: "versionId=1", Host: docHost,
		Header: map[string][]string{}}
	query, err := docSigner().Presign(r, docTime, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r.Query = query
	return r
}

// edit replaces a piece of the Authorization header.
func edit(old, new string) func(*Request) {
	return func(r *Request) {
		a := r.Header["Authorization"][0]
		if !strings.Contains(a, old) {
			panic("no " + old + " in " + a)
		}
		r.Header["Authorization"] = []string{strings.Replace(a, old, new, 1)}
	}
}

// query replaces a piece of the query.
func query(old, new string) func(*Request) {
	return func(r *Request) {
		if !strings.Contains(r.Query, old) {
			panic("no " + old + " in " + r.Query)
		}
		r.Query = strings.Replace(r.Query, old, new, 1)
	}
}

// head sets a header.
func head(name string, values ...string) func(*Request) {
	return func(r *Request) { r.Header[name] = values }
}

// badCase is one way to be wrong.
type badCase struct {
	name  string
	spoil func(*Request)
	kind  Kind
	code  string
}

func TestBadHeaderForm(t *testing.T) {
	const malformed = "AuthorizationHeaderMalformed"
	testBad(t, signed, []badCase{
		{"signature", edit("Signature=", "Signature=00"), ErrMalformedAuthorization, malformed},
		{"signature digits", edit("Signature=", "Signature=zz"), ErrMalformedAuthorization, malformed},
		{"no signature", edit(", Signature=", ", Signatur="), ErrMalformedAuthorization, malformed},
		{"two credentials", edit("SignedHeaders",
			"Credential=a/20130524/us-east-1/s3/aws4_request, SignedHeaders"),
			ErrMalformedAuthorization, malformed},
		{"no key", edit("AKIAIOSFODNN7EXAMPLE", ""), ErrMalformedAuthorization, malformed},
		{"short credential", edit("/s3/aws4_request", "/aws4_request"), ErrMalformedAuthorization, malformed},
		{"no terminator", edit("aws4_request", "aws5_request"), ErrMalformedAuthorization, malformed},
		{"region", edit("us-east-1", "eu-west-1"), ErrMalformedAuthorization, malformed},
		{"service", edit("/s3/", "/k2v/"), ErrMalformedAuthorization, malformed},
		{"scope day", edit("20130524", "20130525"), ErrMalformedAuthorization, malformed},
		{"scope day format", edit("20130524", "2013-524"), ErrMalformedAuthorization, malformed},
		{"only scheme", head("Authorization", "AWS4-HMAC-SHA256"), ErrMalformedAuthorization, malformed},
		{"upper case name", edit("host;", "Host;"), ErrMalformedAuthorization, malformed},
		{"name twice", edit("host;", "host;host;"), ErrMalformedAuthorization, malformed},
		{"empty name", edit("host;", "host;;"), ErrMalformedAuthorization, malformed},
		{"date twice", head("X-Amz-Date", docStamp, docStamp), ErrMalformedAuthorization, malformed},
		{"huge header", edit("SignedHeaders=", "SignedHeaders="+strings.Repeat("a", 9000)), ErrTooLarge,
			"RequestHeaderSectionTooLarge"},
		{"many names", edit("SignedHeaders=", "SignedHeaders="+strings.Repeat("a;", 300)), ErrTooLarge,
			"RequestHeaderSectionTooLarge"},
		{"SigV2", head("Authorization", "AWS AKIA:frJIUN8DYpKDtOLCwo//yllqDzg="), ErrUnsupportedMechanism,
			"InvalidRequest"},
		{"SigV4A", edit("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), ErrUnsupportedMechanism,
			"InvalidRequest"},
		{"Bearer", head("Authorization", "Bearer x"), ErrUnsupportedMechanism, "InvalidRequest"},
		{"empty", head("Authorization", ""), ErrUnsupportedMechanism, "InvalidRequest"},
		{"two headers", head("Authorization", "a", "b"), ErrTwoMechanisms, "InvalidArgument"},
		{"query as well", query("x=1", "X-Amz-Signature=1"), ErrTwoMechanisms, "InvalidArgument"},
		{"token", head("X-Amz-Security-Token", "t"), ErrSessionToken, "InvalidToken"},
		{"unknown key", edit("AKIA", "AKIB"), ErrUnknownKey, "InvalidAccessKeyId"},
		{"no date", func(r *Request) { delete(r.Header, "X-Amz-Date") }, ErrMissingDate, "AccessDenied"},
		{"bad date", head("X-Amz-Date", "20130524T000000"), ErrMalformedDate, "AccessDenied"},
		{"no such date", head("X-Amz-Date", "20130524T250000Z"), ErrMalformedDate, "AccessDenied"},
		{"skew", head("X-Amz-Date", "20130524T001501Z"), ErrSkew, "RequestTimeTooSkewed"},
		{"host not signed", edit("host;", ""), ErrUnsignedHeader, "AccessDenied"},
		{"header not signed", head("X-Amz-Acl", "public-read"), ErrUnsignedHeader, "AccessDenied"},
		{"no hash", func(r *Request) { delete(r.Header, "X-Amz-Content-Sha256") }, ErrMissingContentSHA256,
			"MissingSecurityHeader"},
		{"bad hash", head("X-Amz-Content-Sha256", "abc"), ErrMalformedContentSHA256, "InvalidArgument"},
		{"SigV4A chunks", head("X-Amz-Content-Sha256", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"),
			ErrUnsupportedMechanism, "InvalidRequest"},
		{"other hash", head("X-Amz-Content-Sha256", emptySHA256), ErrSignature, "SignatureDoesNotMatch"},
		{"path escape", func(r *Request) { r.Path = "/b/%zz" }, ErrMalformedURI, "InvalidURI"},
		{"path escape cut", func(r *Request) { r.Path = "/b/%4" }, ErrMalformedURI, "InvalidURI"},
		{"query escape", query("x=1", "x=%4"), ErrMalformedURI, "InvalidURI"},
		{"many parameters", query("x=1", strings.Repeat("a&", 2000)), ErrTooLarge,
			"RequestHeaderSectionTooLarge"},
		{"method", func(r *Request) { r.Method = "GET" }, ErrSignature, "SignatureDoesNotMatch"},
		{"path", func(r *Request) { r.Path = "/b/k2" }, ErrSignature, "SignatureDoesNotMatch"},
		{"dots resolved", func(r *Request) { r.Path = "/b/./k" }, ErrSignature, "SignatureDoesNotMatch"},
		{"query", query("x=1", "x=2"), ErrSignature, "SignatureDoesNotMatch"},
		{"query added", query("x=1", "x=1&acl"), ErrSignature, "SignatureDoesNotMatch"},
		{"host", func(r *Request) { r.Host = "other" }, ErrSignature, "SignatureDoesNotMatch"},
		{"header", head("X-Amz-Meta-A", "two"), ErrSignature, "SignatureDoesNotMatch"},
		{"header added to", head("X-Amz-Meta-A", "one", "two"), ErrSignature, "SignatureDoesNotMatch"},
		{"signed header gone", func(r *Request) { delete(r.Header, "Content-Type") }, ErrSignature,
			"SignatureDoesNotMatch"},
	})
}

func TestBadQueryForm(t *testing.T) {
	const malformed = "AuthorizationQueryParametersError"
	drop := func(name string) func(*Request) { return query(name+"=", "Y=") }
	testBad(t, presigned, []badCase{
		{"no algorithm", drop("X-Amz-Algorithm"), ErrMalformedAuthorization, malformed},
		{"no credential", drop("X-Amz-Credential"), ErrMalformedAuthorization, malformed},
		{"no date", drop("X-Amz-Date"), ErrMalformedAuthorization, malformed},
		{"no expires", drop("X-Amz-Expires"), ErrMalformedAuthorization, malformed},
		{"no signature", drop("X-Amz-Signature"), ErrMalformedAuthorization, malformed},
		{"no signed headers", drop("X-Amz-SignedHeaders"), ErrMalformedAuthorization, malformed},
		{"twice", query("X-Amz-Date=", "X-Amz-Date=1&X-Amz-Date="), ErrMalformedAuthorization, malformed},
		{"zero life", query("X-Amz-Expires=3600", "X-Amz-Expires=0"), ErrMalformedAuthorization, malformed},
		{"long life", query("X-Amz-Expires=3600", "X-Amz-Expires=604801"), ErrMalformedAuthorization,
			malformed},
		{"negative life", query("X-Amz-Expires=3600", "X-Amz-Expires=-1"), ErrMalformedAuthorization,
			malformed},
		{"region", query("us-east-1", "us-east-2"), ErrMalformedAuthorization, malformed},
		{"date", query("X-Amz-Date=2013", "X-Amz-Date=x013"), ErrMalformedDate, malformed},
		{"scope day", query("%2F20130524%2F", "%2F20130523%2F"), ErrMalformedAuthorization, malformed},
		{"SigV4A", query("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), ErrUnsupportedMechanism,
			"InvalidRequest"},
		{"SigV2", func(r *Request) { r.Query = "AWSAccessKeyId=a&Expires=1&Signature=b" },
			ErrUnsupportedMechanism,
			"InvalidRequest"},
		{"token", query("versionId", "X-Amz-Security-Token=t&versionId"), ErrSessionToken, "InvalidToken"},
		{"future", query("X-Amz-Date=20130524T000000", "X-Amz-Date=20130524T001501"), ErrNotYetValid,
			"AccessDenied"},
		{"longer life", query("X-Amz-Expires=3600", "X-Amz-Expires=3601"), ErrSignature,
			"SignatureDoesNotMatch"},
		{"other version", query("versionId=1", "versionId=2"), ErrSignature, "SignatureDoesNotMatch"},
		{"unsigned header", head("X-Amz-Meta-A", "x"), ErrUnsignedHeader, "AccessDenied"},
		{"signed chunks", query("versionId", "X-Amz-Content-Sha256="+modeNames[SignedChunks]+"&versionId"),
			ErrMalformedContentSHA256, "InvalidArgument"},
	})
}

// testBad spoils good requests one way each and expects one kind each.
func testBad(t *testing.T, good func(testing.TB) *Request, cases []badCase) {
	if _, err := docVerifier().Verify(good(t), docTime, docLookup); err != nil {
		t.Fatalf("the good request: %v", err)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := good(t)
			c.spoil(r)
			v, err := docVerifier().Verify(r, docTime, docLookup)
			var e *Error
			if !errors.Is(err, c.kind) || !errors.As(err, &e) || e.Code() != c.code {
				t.Fatalf("got %v, want kind %q, code %s", err, c.kind, c.code)
			}
			if v.Key != "" || v.Mechanism != Anonymous {
				t.Errorf("a refused request is verified as %+v", v)
			}
			if strings.Contains(fmt.Sprintf("%+v", e), string(docSecret)) {
				t.Error("the error holds the secret")
			}
		})
	}
}

func TestKindsAreComplete(t *testing.T) {
	texts := map[string]Kind{}
	for k := Kind(1); int(k) < len(kinds); k++ {
		if k.Code() == "" || k.Error() == "" {
			t.Errorf("kind %d has no code or text", k)
		}
		if other, ok := texts[k.Error()]; ok {
			t.Errorf("kinds %d and %d say the same", k, other)
		}
		texts[k.Error()] = k
	}
}

func TestSkewBounds(t *testing.T) {
	for _, c := range []struct {
		off  time.Duration
		want bool
	}{{SkewMax, true}, {-SkewMax, true}, {SkewMax + 1, false}, {-SkewMax - 1, false}} {
		_, err := docVerifier().Verify(signed(t), docTime.Add(c.off), docLookup)
		if (err == nil) != c.want || err != nil && !errors.Is(err, ErrSkew) {
			t.Errorf("clock off by %v: %v", c.off, err)
		}
	}
}

func TestWrongRegionNamesTheRightOne(t *testing.T) {
	r := signed(t)
	edit("us-east-1", "eu-west-1")(r)
	_, err := docVerifier().Verify(r, docTime, docLookup)
	var e *Error
	if !errors.As(err, &e) || e.Region != "us-east-1" {
		t.Fatalf("got %+v", err)
	}
}

func TestAnonymous(t *testing.T) {
	nobody := func(KeyID) (Secret, error) { panic("looked up a key for an anonymous request") }
	for _, c := range []struct {
		hash string
		mode Mode
		kind Kind
	}{
		{"", Unsigned, 0},
		{emptySHA256, Hashed, 0},
		{modeNames[UnsignedTrailer], UnsignedTrailer, 0},
		{modeNames[SignedChunks], 0, ErrMalformedContentSHA256},
	} {
		r := &Request{Method: "GET", Path: "/b/k", Query: "Signature=1", Host: docHost,
			Header: map[string][]string{}}
		if c.hash != "" {
			r.Header["X-Amz-Content-Sha256"] = []string{c.hash}
		}
		v, err := docVerifier().Verify(r, docTime, nobody)
		if c.kind != 0 && !errors.Is(err, c.kind) || c.kind == 0 && err != nil {
			t.Errorf("%s: %v", c.hash, err)
		}
		if v.Mechanism != Anonymous || v.Payload.Mode != c.mode {
			t.Errorf("%s: %+v", c.hash, v)
		}
	}
}

func TestLookupFailureIsNoRefusal(t *testing.T) {
	cause := errors.New("no quorum")
	_, err := docVerifier().Verify(signed(t), docTime, func(KeyID) (Secret, error) { return "", cause })
	var e *Error
	if !errors.Is(err, cause) || errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
}

func TestDateHeaderAlone(t *testing.T) {
	c := docSigner().claim(docTime, modeNames[Unsigned])
	r := &Request{Method: "GET", Path: "/", Host: docHost, Header: map[string][]string{
		"Date": {"Fri, 24 May 2013 00:00:00 GMT"}, "X-Amz-Content-Sha256": {c.payload},
	}}
	c.signed = []string{"date", "host", "x-amz-content-sha256"}
	if _, err := docSigner().seal(r, &c); err != nil {
		t.Fatal(err)
	}
	r.Header["Authorization"] = []string{docAuth(strings.Join(c.signed, ";"), fmt.Sprintf("%x", c.signature))}
	if _, err := docVerifier().Verify(r, docTime, docLookup); err != nil {
		t.Fatal(err)
	}
}

// countingLock counts and checks that it is not taken twice.
type countingLock struct{ held, taken int }

func (l *countingLock) Lock() {
	l.held++
	l.taken++
	if l.held != 1 {
		panic("locked twice")
	}
}

func (l *countingLock) Unlock() { l.held-- }

func TestCacheFollowsTheSecret(t *testing.T) {
	lock := &countingLock{}
	v := docVerifier()
	v.Lock = lock
	secret := docSecret
	lookup := func(KeyID) (Secret, error) {
		if lock.held != 0 {
			t.Error("looked up under the lock")
		}
		return secret, nil
	}
	for range 3 {
		if _, err := v.Verify(signed(t), docTime, lookup); err != nil {
			t.Fatal(err)
		}
	}
	if lock.taken != 4 {
		t.Errorf("three uses of one key took the lock %d times, want 4 (one miss)", lock.taken)
	}
	secret = "changed"
	if _, err := v.Verify(signed(t), docTime, lookup); !errors.Is(err, ErrSignature) {
		t.Fatalf("after the secret changed: %v", err)
	}
}

// drawRequest draws a request with odd but legal parts.
func drawRequest(t *rapid.T) *Request {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("aZ09-._~ +%/=&?#:;,é\x01\"'()*!$@[]")), 0, 12, -1)
	r := &Request{
		Method: rapid.SampledFrom([]string{"GET", "PUT", "POST", "DELETE", "HEAD"}).Draw(t, "method"),
		Host:   rapid.SampledFrom([]string{"localhost:3900", "b.s3.example.org", "[::1]:80"}).Draw(t, "host"),
		Header: map[string][]string{},
	}
	r.Path = "/" + EscapePath(text.Draw(t, "path"))
	var pieces []string
	for range rapid.IntRange(0, 5).Draw(t, "params") {
		piece := EscapeQuery("q" + text.Draw(t, "name"))
		if rapid.Bool().Draw(t, "valued") {
			piece += "=" + EscapeQuery(text.Draw(t, "value"))
		}
		pieces = append(pieces, piece)
	}
	r.Query = strings.Join(pieces, "&")
	for i := range rapid.IntRange(0, 4).Draw(t, "headers") {
		name := rapid.SampledFrom([]string{"X-Amz-Meta-A", "X-Amz-Acl", "Content-Type", "Range"}).Draw(t,
			"header")
		r.Header[name] = append(r.Header[name], fmt.Sprintf(" v%d \t %s ", i, text.Draw(t, "value")))
	}
	return r
}

func TestSignedVerifies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRequest(t)
		twice := rapid.Bool().Draw(t, "twice")
		s, v := docSigner(), docVerifier()
		s.PathTwice, v.PathTwice = twice, twice
		now := docTime.Add(time.Duration(rapid.Int64Range(0, 1e18).Draw(t, "now")))
		if rapid.Bool().Draw(t, "presign") {
			query, err := s.Presign(r, now, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			r.Query = query
		} else if _, err := s.Sign(r, now, modeNames[Unsigned]); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(r, now, docLookup); err != nil {
			var e *Error
			errors.As(err, &e)
			t.Fatalf("%v\n%s", err, e.CanonicalRequest)
		}
		other := *s
		other.Secret = "another secret"
		if _, err := v.Verify(r, now, func(KeyID) (Secret, error) {
			return other.Secret,
				nil
		}); !errors.Is(err, ErrSignature) {
			t.Fatalf("with another secret: %v", err)
		}
		spoil(t, r)
		if _, err := v.Verify(r, now, docLookup); err == nil {
			t.Fatal("a changed request still verifies")
		}
	})
}

// spoil changes one thing that the signature covers.
func spoil(t *rapid.T, r *Request) {
	switch rapid.IntRange(0, 3).Draw(t, "spoil") {
	case 0:
		r.Path += "x"
	case 1:
		r.Query += "&added=1"
	case 2:
		r.Method += "X"
	case 3:
		covered := []string{}
		for _, name := range slices.Sorted(maps.Keys(r.Header)) {
			if name != "Authorization" {
				covered = append(covered, name)
			}
		}
		if len(covered) == 0 {
			r.Host += "x"
			return
		}
		name := rapid.SampledFrom(covered).Draw(t, "spoiled")
		r.Header[name] = append(slices.Clone(r.Header[name]), "more")
	}
}
