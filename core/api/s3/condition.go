package s3

import (
	"net/http"
	"strings"
	"time"

	"granary/core/object"
)

// conditions are those of a read or of a copy's source. Zero fields are absent.
type conditions struct {
	match, noneMatch  []string
	modified          time.Time // If-Modified-Since
	unmodified        time.Time // If-Unmodified-Since
	any, matchPresent bool
}

// conditionsOf reads the four headers that begin with prefix.
func (c *call) conditionsOf(prefix string) (k conditions) {
	k.match, k.noneMatch = c.fields[prefix+"If-Match"], c.fields[prefix+"If-None-Match"]
	k.modified = headerTime(c.fields[prefix+"If-Modified-Since"])
	k.unmodified = headerTime(c.fields[prefix+"If-Unmodified-Since"])
	k.matchPresent = len(k.match) > 0
	k.any = k.matchPresent || len(k.noneMatch) > 0 || !k.modified.IsZero() || !k.unmodified.IsZero()
	return k
}

// headerTime parses the time of a header; one that does not parse is as if it were absent, as RFC 9110 has
// it.
func headerTime(values []string) time.Time {
	if len(values) != 1 {
		return time.Time{}
	}
	t, err := http.ParseTime(values[0])
	if err != nil {
		return time.Time{}
	}
	return t
}

// verdictOf returns 0 when the conditions hold for an object, else the status that says which kind does not:
// 412 or 304. A holding If-Match outweighs If-Unmodified-Since, a failing If-None-Match outweighs
// If-Modified-Since.
//
// Source: RFC 9110, section 13.2.2, which S3 follows.
func (k *conditions) verdictOf(info *object.Info) int {
	if !k.any {
		return 0
	}
	modified := info.Modified().Truncate(time.Second)
	switch {
	case k.matchPresent && !matches(k.match, info.ETag, false):
		return http.StatusPreconditionFailed
	case !k.matchPresent && !k.unmodified.IsZero() && modified.After(k.unmodified):
		return http.StatusPreconditionFailed
	case len(k.noneMatch) > 0:
		if matches(k.noneMatch, info.ETag, true) {
			return http.StatusNotModified
		}
		return 0
	case !k.modified.IsZero() && !modified.After(k.modified):
		return http.StatusNotModified
	}
	return 0
}

// matches reports whether one of the listed ETags is the object's. Weak ones match only in a weak comparison.
func matches(lists []string, etag string, weak bool) bool {
	for _, list := range lists {
		for one := range strings.SplitSeq(list, ",") {
			one = strings.TrimSpace(one)
			if weak {
				one = strings.TrimPrefix(one, "W/")
			}
			if one == "*" || unquoted(one) == etag {
				return true
			}
		}
	}
	return false
}

// check holds the conditions of a read against the object.
func (c *call) checkConditions(info *object.Info) error {
	k := c.conditionsOf("")
	switch k.verdictOf(info) {
	case http.StatusPreconditionFailed:
		return refuse("PreconditionFailed", "")
	case http.StatusNotModified:
		c.validators(info)
		return refuse("NotModified", "")
	}
	return nil
}

// ifRange reports whether an If-Range header, if there is one, lets the range stand.
func (c *call) ifRange(info *object.Info) bool {
	values := c.fields["If-Range"]
	if len(values) == 0 {
		return true
	}
	value := strings.TrimSpace(values[0])
	if t, err := http.ParseTime(value); err == nil {
		return info.Modified().Truncate(time.Second).Equal(t)
	}
	return value == quoted(info.ETag)
}
