package auth

import (
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

const (
	algorithm   = "AWS4-HMAC-SHA256"
	algorithm4a = "AWS4-ECDSA-P256-SHA256"
	terminator  = "aws4_request"
	amzLayout   = "20060102T150405Z"
	dayLayout   = "20060102"
)

// Mechanism is where a request carries its credentials.
type Mechanism uint8

// The mechanisms. Zero is a request without credentials.
const (
	Anonymous Mechanism = iota
	ByHeader            // the Authorization header
	ByQuery             // a presigned URL
	ByForm              // the fields of a POST form with a signed policy
)

// String returns the mechanism's name for logs.
func (m Mechanism) String() string {
	return [...]string{"anonymous", "header", "query", "form"}[m&3]
}

// KeyID names an access key. It is public.
type KeyID string

// Secret is the secret half of an access key. It prints as "[secret]".
type Secret string

// String hides the secret.
func (Secret) String() string { return "[secret]" }

// GoString hides the secret.
func (Secret) GoString() string { return "[secret]" }

// scope is what a signing key is derived for, besides the secret.
type scope struct {
	day     string // yyyymmdd
	region  string
	service string
}

// append appends the credential scope.
func (s scope) append(dst []byte) []byte {
	dst = append(dst, s.day...)
	dst = append(dst, '/')
	dst = append(dst, s.region...)
	dst = append(dst, '/')
	dst = append(dst, s.service...)
	dst = append(dst, '/')
	return append(dst, terminator...)
}

// claim is what a request says about its signature, parsed and not yet believed.
type claim struct {
	mechanism Mechanism
	key       KeyID
	scope     scope
	signed    []string // lower-case, sorted, unique
	signature [32]byte
	at        time.Time
	stamp     string        // at in AWS's basic format
	expires   time.Duration // ByQuery only
	payload   string        // the canonical request's last line
	params    []param       // the query
}

// malformed refuses credentials that do not parse.
func (c *claim) malformed(subject, hint string) *Error {
	e := refuse(ErrMalformedAuthorization, subject, hint)
	e.Mechanism = c.mechanism
	return e
}

// setCredential parses KEY/DAY/REGION/SERVICE/aws4_request. The key may hold slashes.
func (c *claim) setCredential(s string) error {
	parts := [4]string{} // service, region and day from the right, after the terminator
	rest := s
	for i := range parts {
		j := strings.LastIndexByte(rest, '/')
		if j < 0 {
			return c.malformed("Credential", "write KEY/YYYYMMDD/REGION/SERVICE/aws4_request")
		}
		parts[i], rest = rest[j+1:], rest[:j]
	}
	if parts[0] != terminator {
		return c.malformed("Credential", "end it with aws4_request")
	}
	if rest == "" || len(rest) > keyIDMax || !printable(rest) {
		return c.malformed("Credential", "the access key id is empty, too long or not printable")
	}
	if len(parts[3]) != len(dayLayout) {
		return c.malformed("Credential", "write the date as YYYYMMDD")
	}
	c.key = KeyID(rest)
	c.scope = scope{day: parts[3], region: parts[2], service: parts[1]}
	return nil
}

// printable reports whether s is visible ASCII.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// setSigned parses SignedHeaders. Names in another order are sorted, as all signers do before they sign.
func (c *claim) setSigned(s string) error {
	if strings.Count(s, ";") >= signedHeadersMax {
		return refuse(ErrTooLarge, "SignedHeaders", "sign at most 256 headers")
	}
	c.signed = strings.Split(s, ";")
	for _, name := range c.signed {
		if !lowerToken(name) {
			return c.malformed("SignedHeaders", "write lower-case names with ; between them")
		}
	}
	if !slices.IsSorted(c.signed) {
		slices.Sort(c.signed)
	}
	for i := 1; i < len(c.signed); i++ {
		if c.signed[i] == c.signed[i-1] {
			return c.malformed("SignedHeaders", "name every header once")
		}
	}
	return nil
}

// lowerToken reports whether s is a header name in lower case.
func lowerToken(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || 'A' <= s[i] && s[i] <= 'Z' {
			return false
		}
	}
	return s != ""
}

// setSignature parses 64 hexadecimal digits.
func (c *claim) setSignature(s string) error {
	if !decodeHash(&c.signature, s) {
		return c.malformed("Signature", "write 64 hexadecimal digits")
	}
	return nil
}

// setStamp parses an x-amz-date.
func (c *claim) setStamp(s string) error {
	at, ok := parseStamp(s)
	if !ok {
		e := refuse(ErrMalformedDate, "X-Amz-Date", "write YYYYMMDDTHHMMSSZ")
		e.Mechanism = c.mechanism
		return e
	}
	c.at, c.stamp = at, s
	return nil
}

// decodeHash parses the 64 hexadecimal digits of a SHA-256 value.
func decodeHash(dst *[32]byte, s string) bool {
	if len(s) != 2*len(dst) {
		return false
	}
	var digits [64]byte
	copy(digits[:], s)
	_, err := hex.Decode(dst[:], digits[:])
	return err == nil
}

// parseStamp parses AWS's basic ISO 8601 form, "20130524T000000Z".
func parseStamp(s string) (time.Time, bool) {
	if len(s) != len(amzLayout) || s[8] != 'T' || s[15] != 'Z' {
		return time.Time{}, false
	}
	at, err := time.Parse(amzLayout, s)
	return at, err == nil
}

// parseAuthorization parses the Authorization header.
func parseAuthorization(value string) (claim, error) {
	c := claim{mechanism: ByHeader}
	if len(value) > authorizationMax {
		return c, refuse(ErrTooLarge, "Authorization", "at most 8 KiB")
	}
	scheme, rest, _ := strings.Cut(value, " ")
	if err := checkScheme(scheme); err != nil {
		return c, err
	}
	var seen [3]bool
	for rest != "" {
		var field string
		field, rest, _ = strings.Cut(rest, ",")
		name, v, _ := strings.Cut(strings.TrimSpace(field), "=")
		i := slices.Index([]string{"Credential", "SignedHeaders", "Signature"}, name)
		if i < 0 || seen[i] {
			return c, c.malformed("Authorization", "give Credential, SignedHeaders and Signature once each")
		}
		seen[i] = true
		var err error
		switch i {
		case 0:
			err = c.setCredential(v)
		case 1:
			err = c.setSigned(v)
		case 2:
			err = c.setSignature(v)
		}
		if err != nil {
			return c, err
		}
	}
	if seen != [3]bool{true, true, true} {
		return c, c.malformed("Authorization", "give Credential, SignedHeaders and Signature")
	}
	return c, nil
}

// checkScheme tells Signature Version 4 from everything else.
func checkScheme(scheme string) error {
	switch {
	case scheme == algorithm:
		return nil
	case scheme == algorithm4a:
		return refuse(ErrUnsupportedMechanism, "SigV4A", "sign with AWS4-HMAC-SHA256 for one region")
	case scheme == "AWS":
		return refuse(ErrUnsupportedMechanism, "SigV2",
			"use Signature Version 4; aws CLI 1: aws configure set default.s3.signature_version s3v4")
	}
	return refuse(ErrUnsupportedMechanism, "authorization scheme", "use AWS4-HMAC-SHA256")
}
