package bucket

import (
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
		return fmt.Errorf("bucket name %.80q: %w: %s", name, ErrInvalidName,
			why)
	}
	if len(name) < 3 || len(name) > 63 {
		return bad("it must have 3 to 63 characters")
	}
	for i := range len(name) {
		c := name[i]
		alnum := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alnum && (c != '-' && c != '.' || i == 0 || i == len(name)-1) {
			return bad("only lower-case letters, digits, hyphens and dots, with a letter or digit at both ends")
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
