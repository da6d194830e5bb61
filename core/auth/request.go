package auth

import (
	"strconv"
	"strings"
)

// Request is what a signature covers of an HTTP request, as it came over the wire.
//
// Header has canonical names ("X-Amz-Date"), as net/http makes them; an http.Header is assignable to it.
// The package reads it without a lock and changes it only in [Signer.Sign].
type Request struct {
	Method string
	// Path is the path of the request line up to '?', still escaped. Empty means "/".
	Path string
	// Query is the request line behind '?', still escaped. Empty means none.
	Query string
	// Host is the Host header or the :authority of HTTP/2.
	Host   string
	Header map[string][]string
	// ContentLength is the body's length on the wire in bytes, -1 when it is not known. HTTP servers take the
	// header away; a client may have signed it.
	ContentLength int64
	// TransferEncoding is what the server took away under that name; usually nil.
	TransferEncoding []string
}

// header returns the first value of a header and how many there are; name is canonical.
func (r *Request) header(name string) (value string, n int) {
	vv := r.Header[name]
	if len(vv) == 0 {
		return "", 0
	}
	return vv[0], len(vv)
}

// only returns the value of a header that may occur once at most, "" when it is absent.
func (r *Request) only(name string) (string, error) {
	value, n := r.header(name)
	if n > 1 {
		return "", refuse(ErrMalformedAuthorization, name, "send the header once")
	}
	return value, nil
}

// signedValues returns the values of a header under its lower-case name, including those that HTTP servers
// take out of the header map. ok is false when the request has no such header.
func (r *Request) signedValues(lower string, one *[1]string) (values []string, ok bool) {
	if lower == "host" { // what routes the request is what must be signed, whatever the map holds
		one[0] = r.Host
		return one[:], r.Host != ""
	}
	if values, ok = lookupFolded(r.Header, lower); ok && len(values) > 0 {
		return values, true
	}
	switch lower {
	case "content-length":
		if r.ContentLength < 0 {
			return nil, false
		}
		one[0] = strconv.FormatInt(r.ContentLength, 10)
	case "expect":
		one[0] = "100-continue"
	case "transfer-encoding":
		return r.TransferEncoding, len(r.TransferEncoding) > 0
	default:
		return nil, false
	}
	return one[:], true
}

// lookupFolded finds a canonical header name by its lower-case form without allocating for usual names.
func lookupFolded(h map[string][]string, lower string) ([]string, bool) {
	var buf [64]byte
	name := buf[:0]
	if len(lower) > len(buf) {
		name = make([]byte, 0, len(lower))
	}
	up := true
	for i := range len(lower) {
		c := lower[i]
		if up && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		up = c == '-'
		name = append(name, c)
	}
	values, ok := h[string(name)]
	return values, ok
}

// isAmz reports whether a header belongs to AWS and therefore must be signed.
func isAmz(name string) bool {
	const prefix = "x-amz-"
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}
