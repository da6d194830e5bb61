package auth

import (
	"slices"
	"strings"
)

const upperHex = "0123456789ABCDEF"

// unreserved reports whether a byte stands for itself in a canonical URI.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// unhex returns the value of a hexadecimal digit.
func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// appendEscaped appends one byte in canonical form.
func appendEscaped(dst []byte, c byte) []byte {
	if unreserved(c) {
		return append(dst, c)
	}
	return append(dst, '%', upperHex[c>>4], upperHex[c&15])
}

// unescapeAt decodes the percent escape at s[i].
func unescapeAt(s string, i int) (byte, bool) {
	if i+2 >= len(s) {
		return 0, false
	}
	hi, ok1 := unhex(s[i+1])
	lo, ok2 := unhex(s[i+2])
	return hi<<4 | lo, ok1 && ok2
}

// appendPath appends the canonical URI of an S3 path: every segment with the one canonical escaping of its
// bytes, so that clients that escape more or less than they sign agree. Segments are not resolved: "//",
// "." and ".." are parts of keys, and an escaped slash stays apart from a slash.
func appendPath(dst []byte, path string) ([]byte, error) {
	if path == "" {
		return append(dst, '/'), nil
	}
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch c {
		case '/':
			dst = append(dst, c)
		case '%':
			b, ok := unescapeAt(path, i)
			if !ok {
				return dst, refuse(ErrMalformedURI, "path", "escape % as %25")
			}
			dst = appendEscaped(dst, b)
			i += 2
		default:
			dst = appendEscaped(dst, c)
		}
	}
	return dst, nil
}

// appendPathTwice appends the canonical URI of services other than S3: the path as it came, escaped once
// more.
func appendPathTwice(dst []byte, path string) []byte {
	if path == "" {
		return append(dst, '/')
	}
	for i := range len(path) {
		if path[i] == '/' {
			dst = append(dst, '/')
			continue
		}
		dst = appendEscaped(dst, path[i])
	}
	return dst
}

// param is one parameter of a query, name and value in canonical escaping.
type param struct{ name, value string }

// parseQuery splits a query at '&' and escapes names and values canonically. A parameter without '=' has an
// empty value; empty pieces are dropped; '+' means a space, as every S3 client and server reads it.
func parseQuery(raw string) ([]param, error) {
	if raw == "" {
		return nil, nil
	}
	n := strings.Count(raw, "&") + 1
	if n > queryParamsMax {
		return nil, refuse(ErrTooLarge, "query", "send at most 1024 parameters")
	}
	params := make([]param, 0, n)
	for piece := range strings.SplitSeq(raw, "&") {
		if piece == "" {
			continue
		}
		name, value, _ := strings.Cut(piece, "=")
		var p param
		var ok1, ok2 bool
		p.name, ok1 = canonicalComponent(name)
		p.value, ok2 = canonicalComponent(value)
		if !ok1 || !ok2 {
			return nil, refuse(ErrMalformedURI, "query", "escape % as %25")
		}
		params = append(params, p)
	}
	return params, nil
}

// canonicalComponent escapes a part of a query canonically. What is canonical already comes back as it is.
func canonicalComponent(s string) (string, bool) {
	i := 0
	for ; i < len(s); i++ {
		if unreserved(s[i]) {
			continue
		}
		if s[i] != '%' {
			break
		}
		b, ok := unescapeAt(s, i)
		if !ok {
			return "", false
		}
		if unreserved(b) || s[i+1] >= 'a' || s[i+2] >= 'a' {
			break
		}
		i += 2
	}
	if i == len(s) {
		return s, true
	}
	return rewriteComponent(s, i)
}

// rewriteComponent is the slow road of canonicalComponent; s[:from] is canonical.
func rewriteComponent(s string, from int) (string, bool) {
	out := append(make([]byte, 0, len(s)+16), s[:from]...)
	for i := from; i < len(s); i++ {
		b := s[i]
		switch b {
		case '+':
			b = ' '
		case '%':
			var ok bool
			if b, ok = unescapeAt(s, i); !ok {
				return "", false
			}
			i += 2
		}
		out = appendEscaped(out, b)
	}
	return string(out), true
}

// EscapeQuery escapes a name or value for a query, canonically.
func EscapeQuery(s string) string {
	out := make([]byte, 0, len(s)+16)
	for i := range len(s) {
		out = appendEscaped(out, s[i])
	}
	return string(out)
}

// EscapePath escapes an object key or a bucket for a path, canonically; slashes stay.
func EscapePath(s string) string {
	if s == "" {
		return ""
	}
	return string(appendPathTwice(make([]byte, 0, len(s)+16), s))
}

// unescape decodes a canonical component.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if b, ok := unescapeAt(s, i); s[i] == '%' && ok {
			out = append(out, b)
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

// compareParams orders parameters by name, then value, bytewise in their escaped form.
func compareParams(a, b param) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	return strings.Compare(a.value, b.value)
}

// appendQuery sorts params in place and appends the canonical query. The signature itself is left out.
func appendQuery(dst []byte, params []param) []byte {
	if !slices.IsSortedFunc(params, compareParams) {
		slices.SortFunc(params, compareParams)
	}
	first := true
	for _, p := range params {
		if p.name == "X-Amz-Signature" {
			continue
		}
		if !first {
			dst = append(dst, '&')
		}
		first = false
		dst = append(dst, p.name...)
		dst = append(dst, '=')
		dst = append(dst, p.value...)
	}
	return dst
}

// appendFolded appends a header value without outer blanks and with runs of blanks folded to one space.
func appendFolded(dst []byte, value string) []byte {
	value = strings.Trim(value, " \t")
	if strings.IndexByte(value, '\t') < 0 && !strings.Contains(value, "  ") {
		return append(dst, value...)
	}
	blank := false
	for i := range len(value) {
		c := value[i]
		if c == ' ' || c == '\t' {
			blank = true
			continue
		}
		if blank {
			dst = append(dst, ' ')
			blank = false
		}
		dst = append(dst, c)
	}
	return dst
}

// appendHeaders appends the canonical headers named in signed (lower-case, sorted), each on its line.
func appendHeaders(dst []byte, r *Request, signed []string) ([]byte, error) {
	var one [1]string
	for _, name := range signed {
		values, ok := r.signedValues(name, &one)
		if !ok {
			return dst, refuse(ErrSignature, "signed header "+name+" is not in the request",
				"send every header that SignedHeaders names")
		}
		dst = append(dst, name...)
		for i, v := range values {
			dst = append(dst, ":,"[min(i, 1)])
			dst = appendFolded(dst, v)
		}
		dst = append(dst, '\n')
	}
	return dst, nil
}

// appendCanonical appends the canonical request: method, path, query, headers, their names, payload hash.
func appendCanonical(dst []byte, r *Request, c *claim, pathTwice bool) ([]byte, error) {
	dst = append(dst, r.Method...)
	dst = append(dst, '\n')
	var err error
	if pathTwice {
		dst = appendPathTwice(dst, r.Path)
	} else if dst, err = appendPath(dst, r.Path); err != nil {
		return dst, err
	}
	dst = append(dst, '\n')
	dst = appendQuery(dst, c.params)
	dst = append(dst, '\n')
	if dst, err = appendHeaders(dst, r, c.signed); err != nil {
		return dst, err
	}
	for i, name := range c.signed {
		dst = append(dst, "\n;"[min(i, 1)])
		dst = append(dst, name...)
	}
	dst = append(dst, '\n')
	return append(dst, c.payload...), nil
}
