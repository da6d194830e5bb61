package cors

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func seconds(n int32) *int32 { return &n }

var shop = Rules{
	{ID: "shop", Origins: []string{"https://shop.example", "https://*.shop.example"},
		Methods: []string{"GET", "PUT"}, Headers: []string{"X-Amz-*", "Authorization", "content-type"},
		Expose: []string{"ETag", "X-Garage-Causality-Token"}, MaxAge: seconds(600)},
	{Origins: []string{"http://localhost:3000", "*"}, Methods: []string{"GET", "HEAD"}, MaxAge: seconds(0)},
	{Origins: []string{"*"}, Methods: []string{"POST"}, Headers: []string{"*"}},
}

// head makes a header of "Name: value" lines.
func head(lines ...string) http.Header {
	h := http.Header{}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.Add(name, value)
	}
	return h
}

func TestPreflight(t *testing.T) {
	const vary = "Vary: Origin, Access-Control-Request-Headers, Access-Control-Request-Method"
	origin := func(s string) string { return "Origin: " + s }
	method := func(s string) string { return "Access-Control-Request-Method: " + s }
	headers := func(s string) string { return "Access-Control-Request-Headers: " + s }
	tests := []struct {
		name string
		in   []string
		out  []string
		err  error
	}{
		{"a named origin", []string{origin("https://shop.example"), method("PUT")},
			[]string{vary, "Access-Control-Allow-Origin: https://shop.example",
				"Access-Control-Allow-Credentials: true", "Access-Control-Allow-Methods: GET, PUT",
				"Access-Control-Max-Age: 600"}, nil},
		{"an origin of a pattern, with headers in any case",
			[]string{origin("https://a.shop.example"), method("PUT"),
				headers("x-amz-date, AUTHORIZATION"), headers("Content-Type,")},
			[]string{vary, "Access-Control-Allow-Origin: https://a.shop.example",
				"Access-Control-Allow-Credentials: true", "Access-Control-Allow-Methods: GET, PUT",
				"Access-Control-Allow-Headers: x-amz-date, authorization, content-type",
				"Access-Control-Max-Age: 600"}, nil},
		{"the first rule that fits", []string{origin("https://shop.example"), method("HEAD")},
			[]string{vary, "Access-Control-Allow-Origin: *", "Access-Control-Allow-Methods: GET, HEAD",
				"Access-Control-Max-Age: 0"}, nil},
		{"the first origin that fits", []string{origin("http://localhost:3000"), method("GET")},
			[]string{vary, "Access-Control-Allow-Origin: http://localhost:3000",
				"Access-Control-Allow-Credentials: true", "Access-Control-Allow-Methods: GET, HEAD",
				"Access-Control-Max-Age: 0"}, nil},
		{"any header", []string{origin("null"), method("POST"), headers("x-new")},
			[]string{vary, "Access-Control-Allow-Origin: *", "Access-Control-Allow-Methods: POST",
				"Access-Control-Allow-Headers: x-new"}, nil},
		{"a header that no rule has", []string{origin("https://shop.example"), method("PUT"),
			headers("x-new")}, nil, ErrRefused},
		{"a method that no rule has", []string{origin("https://shop.example"), method("DELETE")}, nil,
			ErrRefused},
		{"an origin of another scheme", []string{origin("http://shop.example"), method("PUT")}, nil,
			ErrRefused},
		{"an origin that goes on", []string{origin("https://shop.example.evil"), method("PUT")}, nil,
			ErrRefused},
		{"more headers than anybody sends", []string{origin("null"), method("POST"),
			headers(strings.Repeat("x,", 101))}, nil, ErrRefused},
		{"no origin", []string{method("PUT")}, nil, ErrIncomplete},
		{"no method", []string{origin("https://shop.example")}, nil, ErrIncomplete},
	}
	for _, tt := range tests {
		out := http.Header{}
		if err := shop.Preflight(out, head(tt.in...)); !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
		}
		if d := cmp.Diff(head(tt.out...), out); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
	if err := (Rules)(nil).Preflight(http.Header{}, head(origin("x"), method("GET"))); !errors.Is(err,
		ErrRefused) {
		t.Errorf("without rules: %v", err)
	}
}

func TestAnswer(t *testing.T) {
	tests := []struct {
		name, origin, method string
		rules                Rules
		out                  []string
	}{
		{"no rules", "https://shop.example", "GET", nil, nil},
		{"no page", "", "GET", shop, []string{"Vary: Origin"}},
		{"a named origin", "https://shop.example", "PUT", shop, []string{"Vary: Origin",
			"Access-Control-Allow-Origin: https://shop.example", "Access-Control-Allow-Credentials: true",
			"Access-Control-Expose-Headers: ETag, X-Garage-Causality-Token"}},
		{"any origin", "https://else.example", "GET", shop, []string{"Vary: Origin",
			"Access-Control-Allow-Origin: *"}},
		{"another origin", "https://else.example", "PUT", shop, []string{"Vary: Origin"}},
		{"another method", "https://shop.example", "SEARCH", shop, []string{"Vary: Origin"}},
	}
	for _, tt := range tests {
		in, out := http.Header{}, http.Header{}
		if tt.origin != "" {
			in.Set("Origin", tt.origin)
		}
		tt.rules.Answer(out, in, tt.method)
		if d := cmp.Diff(head(tt.out...), out); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

// TestCheck holds each limit: the greatest that is allowed, and what is beyond.
func TestCheck(t *testing.T) {
	with := func(change func(r *Rule)) Rules {
		r := Rule{Origins: []string{"*"}, Methods: []string{"GET"}}
		change(&r)
		return Rules{r}
	}
	many := func(n int) (rs Rules) {
		for range n {
			rs = append(rs, with(func(*Rule) {})...)
		}
		return rs
	}
	tests := []struct {
		name, fault string // none: it is good
		rules       Rules
	}{
		{"the example", "", shop},
		{"every method", "", with(func(r *Rule) { r.Methods = Methods })},
		{"100 rules", "", many(100)},
		{"101 rules", "101 rules; want 1 to 100", many(101)},
		{"none", "0 rules; want 1 to 100", nil},
		{"an ID of 255 bytes", "", with(func(r *Rule) { r.ID = strings.Repeat("x ü.", 51) })},
		{"an ID of 256 bytes", "ID of 256 bytes", with(func(r *Rule) { r.ID = strings.Repeat("x", 256) })},
		{"an ID with a line break", "visible", with(func(r *Rule) { r.ID = "a\nb" })},
		{"no origin", "rule 1: no AllowedOrigin", with(func(r *Rule) { r.Origins = nil })},
		{"an empty origin", `AllowedOrigin ""`, with(func(r *Rule) { r.Origins = []string{""} })},
		{"an origin with a space", "AllowedOrigin", with(func(r *Rule) { r.Origins = []string{"a b"} })},
		{"an origin of two wildcards", `AllowedOrigin "http://*.*": 2 wildcards`,
			with(func(r *Rule) { r.Origins = []string{"http://*.*"} })},
		{"no method", "no AllowedMethod", with(func(r *Rule) { r.Methods = nil })},
		{"a method beyond S3's", `AllowedMethod "PATCH"`,
			with(func(r *Rule) { r.Methods = []string{"PATCH"} })},
		{"a method in lower case", `AllowedMethod "get"`,
			with(func(r *Rule) { r.Methods = []string{"get"} })},
		{"any header", "", with(func(r *Rule) { r.Headers = []string{"*", "x-amz-*"} })},
		{"a header of two wildcards", "2 wildcards", with(func(r *Rule) { r.Headers = []string{"x-*-*"} })},
		{"a header with a colon", `AllowedHeader "a:b"`,
			with(func(r *Rule) { r.Headers = []string{"a:b"} })},
		{"a wildcard for reading", "without wildcard", with(func(r *Rule) { r.Expose = []string{"x-*"} })},
		{"no time", "", with(func(r *Rule) { r.MaxAge = seconds(0) })},
		{"less than no time", "MaxAgeSeconds -1", with(func(r *Rule) { r.MaxAge = seconds(-1) })},
		{"64 KiB", "", with(func(r *Rule) {
			r.Origins = []string{strings.Repeat("x", 64<<10-3)}
		})},
		{"a byte more", "65537 bytes; at most 65536", with(func(r *Rule) {
			r.Origins = []string{strings.Repeat("x", 64<<10-2)}
		})},
		{"all at once", "no AllowedOrigin; rule 1: AllowedMethod", with(func(r *Rule) {
			r.Origins, r.Methods = nil, []string{"PATCH"}
		})},
		{"too many to tell", "and 2 more faults", with(func(r *Rule) { r.Methods = make([]string, 12) })},
	}
	for _, tt := range tests {
		err := tt.rules.Check()
		if good := tt.fault == ""; good != (err == nil) || !good && (!errors.Is(err, ErrInvalid) ||
			!strings.Contains(err.Error(), tt.fault)) {
			t.Errorf("%s: %v; want %q", tt.name, err, tt.fault)
		}
	}
}

// FuzzPreflight compares with a slow twin that goes by regular expressions: who is allowed is allowed by a
// rule, and nothing that the browser did not ask for gets into the answer.
func FuzzPreflight(f *testing.F) {
	f.Add("https://*.example", "x-*", "https://a.example", "GET", "x-a,X-B")
	f.Add("*", "*", "null", "PUT", "")
	f.Add("https://*", "authorization", "https://", "POST", ", authorization")
	f.Fuzz(func(t *testing.T, pattern, header, origin, method, asked string) {
		rules := Rules{{Origins: []string{pattern}, Methods: []string{"GET", "PUT"},
			Headers: []string{header}}}
		if rules.Check() != nil {
			return
		}
		in := http.Header{"Origin": {origin}, "Access-Control-Request-Method": {method},
			"Access-Control-Request-Headers": {asked}}
		like := func(pattern, s string) bool {
			parts := strings.Split(pattern, "*")
			for i, p := range parts {
				parts[i] = regexp.QuoteMeta(p)
			}
			return regexp.MustCompile(`(?s)\A` + strings.Join(parts, ".*") + `\z`).MatchString(s)
		}
		want := origin != "" && like(pattern, origin) && (method == "GET" || method == "PUT")
		var names []string
		for _, name := range strings.Split(asked, ",") {
			if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
				names = append(names, name)
				want = want && like(strings.ToLower(header), name)
			}
		}
		out := http.Header{}
		err := rules.Preflight(out, in)
		if want = want && len(names) <= 100; want != (err == nil) {
			t.Fatalf("%q %q of %q %q: %v", method, names, pattern, header, err)
		}
		if err != nil {
			if len(out) > 0 {
				t.Fatalf("refused with %v", out)
			}
			return
		}
		if got := out.Get("Access-Control-Allow-Origin"); got != "*" && got != origin || got == "*" &&
			pattern != "*" && origin != "*" {
			t.Fatalf("origin %q is told %q", origin, got)
		}
		if got := out.Get("Access-Control-Allow-Headers"); got != strings.Join(names, ", ") {
			t.Fatalf("headers %q, asked for %q", got, asked)
		}
		if !slices.Contains(strings.Split(out.Get("Access-Control-Allow-Methods"), ", "), method) {
			t.Fatalf("methods %q", out)
		}
	})
}
