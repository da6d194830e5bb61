package bucket

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// CheckName says whether name may name a bucket: 3 to 63 lower-case letters, digits, hyphens and dots,
// beginning and ending with a letter or digit, no two dots in a row, and not the form of an IPv4 address.
//
// Errors: ErrInvalidName with the reason.
// Source: the bucket naming rules of the S3 documentation.
func CheckName(name string) error {
	bad := func(why string) error {
		return fmt.Errorf("bucket name %.80q: %w: %s", name, ErrInvalidName, why)
	}
	if len(name) < 3 || len(name) > 63 {
		return bad("it must have 3 to 63 characters")
	}
	for i := range len(name) {
		c := name[i]
		alnum := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alnum && (c != '-' && c != '.' || i == 0 || i == len(name)-1) {
			return bad("only lower-case letters, digits, hyphens and dots, a letter or digit at both ends")
		}
	}
	if strings.Contains(name, "..") {
		return bad("it must not have two dots in a row")
	}
	if a, err := netip.ParseAddr(name); err == nil && a.Is4() {
		return bad("it must not look like an IP address")
	}
	for _, prefix := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(name, prefix) {
			return bad("the prefix " + prefix + " is reserved")
		}
	}
	return nil
}

// Limits of an access key, in bytes.
const (
	KeyIDMax     = 128
	KeySecretMax = 128
	KeyNameMax   = 128
)

// Validate reports every fault of k.
//
// Errors: ErrInvalidKey.
func (k Key) Validate() error {
	var faults []error
	check := func(ok bool, why string, most int) {
		if !ok {
			faults = append(faults, fmt.Errorf("access key %.40q: %w: %s %d", k.ID, ErrInvalidKey, why, most))
		}
	}
	check(printable(string(k.ID)) && !strings.ContainsAny(string(k.ID), "/,= ") && len(k.ID) <= KeyIDMax,
		"the id must have letters, digits and signs, not / , or =, 1 to", KeyIDMax)
	check(printable(k.Secret) && len(k.Secret) <= KeySecretMax,
		"the secret must have printable characters, 1 to", KeySecretMax)
	check(len(k.Name) <= KeyNameMax, "the bytes of the name must be at most", KeyNameMax)
	return errors.Join(faults...)
}

// printable reports whether s is not empty and has only visible ASCII characters and spaces.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}
