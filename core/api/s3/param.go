package s3

import (
	"strings"
)

// param is one query parameter, decoded.
type param struct{ name, value string }

// params are a request's query parameters in order.
type params []param

// parseParams splits and decodes a raw query. A parameter without '=' has an empty value; empty pieces are
// dropped.
func parseParams(raw string) (params, error) {
	if raw == "" {
		return nil, nil
	}
	n := strings.Count(raw, "&") + 1
	if n > paramsMax {
		return nil, refuse("InvalidURI", "The request has more than 256 parameters.")
	}
	out := make(params, 0, n)
	for piece := range strings.SplitSeq(raw, "&") {
		if piece == "" {
			continue
		}
		name, value, _ := strings.Cut(piece, "=")
		var p param
		var ok1, ok2 bool
		p.name, ok1 = unescape(name, true)
		p.value, ok2 = unescape(value, true)
		if !ok1 || !ok2 {
			return nil, refuse("InvalidURI", "The query holds a malformed percent escape.")
		}
		out = append(out, p)
	}
	return out, nil
}

// get returns the value of a parameter, "" when it is absent.
func (p params) get(name string) string {
	value, _ := p.lookup(name)
	return value
}

// lookup returns the value of a parameter and whether it is there.
func (p params) lookup(name string) (string, bool) {
	for i := range p {
		if p[i].name == name {
			return p[i].value, true
		}
	}
	return "", false
}

// unescape decodes percent escapes; ok is false when one is malformed. In a query + stands for a space.
func unescape(s string, query bool) (out string, ok bool) {
	if strings.IndexByte(s, '%') < 0 && !(query && strings.IndexByte(s, '+') >= 0) {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '%':
			if i+2 >= len(s) {
				return "", false
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi > 15 || lo > 15 {
				return "", false
			}
			c = hi<<4 | lo
			i += 2
		case c == '+' && query:
			c = ' '
		}
		b = append(b, c)
	}
	return string(b), true
}

// unhex returns the value of a hexadecimal digit, 255 for anything else.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// appendEscaped appends s as encoding-type=url shows it: unreserved characters and slashes as they are.
func appendEscaped(dst []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			c == '-' || c == '.' || c == '_' || c == '~' || c == '/' {
			dst = append(dst, c)
			continue
		}
		dst = append(dst, '%', digits[c>>4], digits[c&15])
	}
	return dst
}
