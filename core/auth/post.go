package auth

import (
	"strings"
	"time"
)

// Field is one field of a POST form; the file is none.
type Field struct{ Name, Value string }

// Form is the fields of a POST form in the order they came. Names compare without case.
type Form []Field

// get returns the value of a field that may occur once at most.
func (f Form) get(name string) (value string, n int) {
	for _, field := range f {
		if strings.EqualFold(field.Name, name) {
			if n == 0 {
				value = field.Value
			}
			n++
		}
	}
	return value, n
}

// PostVerified is who signed a POST form, and the policy that its file must still fulfil.
type PostVerified struct {
	Verified
	Policy Policy
}

// VerifyPost checks the signature over a form's policy, that the policy has not ended, and that the form
// fulfils its conditions. Bucket is the bucket posted to; key is what conditions call "key", with
// ${filename} replaced.
//
// A form without x-amz-signature is Anonymous, whatever its policy says. The caller checks the file's size
// with [Policy.CheckSize] when it knows it.
// Errors: as Verify, and ErrMalformedPolicy, ErrPolicyViolated, ErrExpired.
// Source: "Browser-Based Uploads Using POST" in the S3 API reference.
func (v *Verifier) VerifyPost(
	f Form, bucket, key string, now time.Time, lookup Lookup,
) (PostVerified, error) {
	if err := checkFields(f); err != nil {
		return PostVerified{}, err
	}
	if _, n := f.get("x-amz-signature"); n == 0 {
		if _, v2 := f.get("AWSAccessKeyId"); v2 > 0 {
			return PostVerified{}, refuse(ErrUnsupportedMechanism, "SigV2", "sign with AWS4-HMAC-SHA256")
		}
		return PostVerified{}, nil
	}
	c, document, err := v.parseForm(f)
	if err != nil {
		return PostVerified{}, err
	}
	k, err := v.key(c.key, c.scope, lookup)
	if err != nil {
		return PostVerified{}, err
	}
	want := k.sign([]byte(document))
	if !equal(&want, &c.signature) {
		e := refuse(ErrSignature, "x-amz-signature", "sign the policy field exactly as it is sent")
		e.Mechanism, e.StringToSign = ByForm, document
		return PostVerified{}, e
	}
	policy, err := ParsePolicy(document)
	if err != nil {
		return PostVerified{}, err
	}
	if err := policy.Check(f, bucket, key, now); err != nil {
		return PostVerified{}, err
	}
	return PostVerified{Verified{Mechanism: ByForm, Key: c.key, At: c.at}, policy}, nil
}

// checkFields refuses fields given twice and session tokens.
func checkFields(f Form) error {
	for i, field := range f {
		for _, before := range f[:i] {
			if strings.EqualFold(before.Name, field.Name) {
				return refuse(ErrMalformedPolicy, field.Name, "give every field once")
			}
		}
		if strings.EqualFold(field.Name, "x-amz-security-token") {
			return refuse(ErrSessionToken, field.Name, "use a permanent access key")
		}
	}
	return nil
}

// parseForm parses a form's credentials and returns them with the policy in base64.
func (v *Verifier) parseForm(f Form) (claim, string, error) {
	c := claim{mechanism: ByForm}
	names := [...]string{"policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"}
	var values [len(names)]string
	for i, name := range names {
		value, n := f.get(name)
		if n == 0 {
			return c, "", refuse(ErrMalformedPolicy, name, "the field is missing")
		}
		values[i] = value
	}
	if len(values[0]) > PolicyMax {
		return c, "", refuse(ErrMalformedPolicy, "policy", "at most 20 KiB")
	}
	if values[1] != algorithm {
		return c, "", checkScheme(values[1])
	}
	if err := c.setCredential(values[2]); err != nil {
		return c, "", err
	}
	if err := v.checkScope(&c); err != nil {
		return c, "", err
	}
	if err := c.setStamp(values[3]); err != nil {
		return c, "", err
	}
	if c.scope.day != c.stamp[:len(dayLayout)] {
		return c, "", c.malformed("x-amz-credential", "its date differs from x-amz-date")
	}
	return c, values[0], c.setSignature(values[4])
}
