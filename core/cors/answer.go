package cors

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Kinds of errors of a preflight, for errors.Is.
var (
	ErrIncomplete = errors.New("not a preflight request")
	ErrRefused    = errors.New("no CORS rule of the bucket allows this request")
)

// The headers of browsers.
const (
	headerOrigin  = "Origin"
	headerMethod  = "Access-Control-Request-Method"
	headerHeaders = "Access-Control-Request-Headers"
)

// requestedMax bounds the headers that a preflight may ask for: each is compared with those of every rule.
const requestedMax = 100

// CrossOrigin reports whether a page of an origin made a request; it may be of the same origin.
func CrossOrigin(in http.Header) bool { return in.Get(headerOrigin) != "" }

// Answer sets the headers in the answer to a request which let the page that made it read the answer, if a
// rule allows its origin and method. Where there are rules the answer differs by origin, which caches are
// told.
func (rs Rules) Answer(out, in http.Header, method string) {
	if len(rs) == 0 {
		return
	}
	out.Set("Vary", headerOrigin)
	if r, origin := rs.find(in, method, nil); r != nil {
		r.allow(out, origin)
		if len(r.Expose) > 0 {
			out.Set("Access-Control-Expose-Headers", strings.Join(r.Expose, ", "))
		}
	}
}

// Preflight sets the headers in the answer to a preflight request, which let the page make the request that
// it is about.
//
// Errors: ErrIncomplete if it is none, ErrRefused; out is untouched then.
func (rs Rules) Preflight(out, in http.Header) error {
	method := in.Get(headerMethod)
	if !CrossOrigin(in) || method == "" {
		return ErrIncomplete
	}
	var names []string
	for name := range strings.SplitSeq(strings.Join(in.Values(headerHeaders), ","), ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
			names = append(names, name)
		}
	}
	if len(names) > requestedMax {
		return ErrRefused
	}
	r, origin := rs.find(in, method, names)
	if r == nil {
		return ErrRefused
	}
	out.Set("Vary", strings.Join([]string{headerOrigin, headerHeaders, headerMethod}, ", "))
	r.allow(out, origin)
	out.Set("Access-Control-Allow-Methods", strings.Join(r.Methods, ", "))
	if len(names) > 0 {
		out.Set("Access-Control-Allow-Headers", strings.Join(names, ", "))
	}
	if r.MaxAge != nil {
		out.Set("Access-Control-Max-Age", strconv.Itoa(int(*r.MaxAge)))
	}
	return nil
}

// find returns the first rule for a request, and the origin as its pages are told of it; nil if there is
// none. names are in lower case.
func (rs Rules) find(in http.Header, method string, names []string) (r *Rule, origin string) {
	origin = in.Get(headerOrigin)
	if origin == "" {
		return nil, ""
	}
	for i := range rs {
		r := &rs[i]
		at := slices.IndexFunc(r.Origins, func(pattern string) bool { return match(pattern, origin) })
		if at < 0 || !slices.Contains(r.Methods, method) || !r.headers(names) {
			continue
		}
		if r.Origins[at] == "*" {
			origin = "*"
		}
		return r, origin
	}
	return nil, ""
}

// headers reports whether a page may send all of these headers.
func (r *Rule) headers(names []string) bool {
	for _, name := range names {
		if !slices.ContainsFunc(r.Headers, func(pattern string) bool {
			return match(strings.ToLower(pattern), name)
		}) {
			return false
		}
	}
	return true
}

// allow says that the origin may. One that is named may also send what the browser adds by itself, as S3 has
// it; that opens nothing, since requests are signed.
func (r *Rule) allow(out http.Header, origin string) {
	out.Set("Access-Control-Allow-Origin", origin)
	if origin != "*" {
		out.Set("Access-Control-Allow-Credentials", "true")
	}
}

// match reports whether s fits a pattern, in which one * stands for any text.
func match(pattern, s string) bool {
	before, after, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == s
	}
	return len(s) >= len(before)+len(after) && strings.HasPrefix(s, before) && strings.HasSuffix(s, after)
}
