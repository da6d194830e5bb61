package cors

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the rules of a bucket.
const (
	RulesMax = 100
	IDMax    = 255      // bytes
	SizeMax  = 64 << 10 // bytes of all texts together
	// faultsMax is how many faults one error tells.
	faultsMax = 10
)

// Methods are those that rules may name.
var Methods = []string{"GET", "PUT", "HEAD", "POST", "DELETE"}

// Rule lets pages of some origins make some requests. In JSON it is as the aws command line has it.
type Rule struct {
	ID string `cbor:"1,keyasint,omitempty" json:"ID,omitempty"` // for people
	// Origins are whole origins, as https://example.org, or patterns with one *; * alone is every origin.
	Origins []string `cbor:"2,keyasint,omitempty" json:"AllowedOrigins"`
	Methods []string `cbor:"3,keyasint,omitempty" json:"AllowedMethods"`
	// Headers are those that a page may send beyond the harmless ones, or patterns with one *, in any case.
	Headers []string `cbor:"4,keyasint,omitempty" json:"AllowedHeaders,omitempty"`
	// Expose are the headers of answers that a page may read beyond the harmless ones.
	Expose []string `cbor:"5,keyasint,omitempty" json:"ExposeHeaders,omitempty"`
	// MaxAge is how long a browser may remember the answer to a preflight, in seconds; nil leaves it to the
	// browser.
	MaxAge *int32 `cbor:"6,keyasint,omitempty" json:"MaxAgeSeconds,omitempty"`
}

// Rules are those of a bucket; the first that fits counts. None: no page of another origin may use it.
type Rules []Rule

// ErrInvalid is the kind of every fault of rules.
var ErrInvalid = errors.New("invalid CORS rules")

// Check says all that is wrong with the rules of a bucket, of which there must be one at least.
//
// Errors: ErrInvalid.
func (rs Rules) Check() error {
	var f faults
	if n := len(rs); n < 1 || n > RulesMax {
		f.add("%d rules; want 1 to %d", n, RulesMax)
	}
	size := 0
	for i, r := range rs {
		f.place = fmt.Sprintf("rule %d: ", i+1)
		f.rule(r)
		size += r.size()
	}
	if f.place = ""; size > SizeMax {
		f.add("%d bytes; at most %d", size, SizeMax)
	}
	return f.err()
}

func (r Rule) size() int {
	n := len(r.ID)
	for _, list := range [][]string{r.Origins, r.Methods, r.Headers, r.Expose} {
		for _, s := range list {
			n += len(s)
		}
	}
	return n
}

// faults collects what is wrong.
type faults struct {
	place string
	told  []string
	count int
}

func (f *faults) add(format string, args ...any) {
	if f.count++; f.count <= faultsMax {
		f.told = append(f.told, f.place+fmt.Sprintf(format, args...))
	}
}

func (f *faults) err() error {
	if f.count == 0 {
		return nil
	}
	text := strings.Join(f.told, "; ")
	if more := f.count - len(f.told); more > 0 {
		text += fmt.Sprintf("; and %d more faults", more)
	}
	return fmt.Errorf("%w: %s", ErrInvalid, text)
}

func (f *faults) rule(r Rule) {
	if n := len(r.ID); n > IDMax {
		f.add("ID of %d bytes; at most %d", n, IDMax)
	}
	hidden := func(c rune) bool { return !unicode.IsPrint(c) }
	if !utf8.ValidString(r.ID) || strings.ContainsFunc(r.ID, hidden) {
		f.add("ID %.80q: want visible characters", r.ID)
	}
	if len(r.Origins) == 0 {
		f.add("no AllowedOrigin")
	}
	if len(r.Methods) == 0 {
		f.add("no AllowedMethod")
	}
	for _, o := range r.Origins {
		if f.wildcards("AllowedOrigin", o); o == "" || !visible(o) {
			f.add("AllowedOrigin %.80q: want visible ASCII characters, as in https://example.org", o)
		}
	}
	for _, m := range r.Methods {
		if !slices.Contains(Methods, m) {
			f.add("AllowedMethod %.80q: want one of %s", m, strings.Join(Methods, ", "))
		}
	}
	for _, h := range r.Headers {
		if f.wildcards("AllowedHeader", h); !token(h) {
			f.add("AllowedHeader %.80q: want the name of a header, or a pattern with *", h)
		}
	}
	for _, h := range r.Expose {
		if strings.Contains(h, "*") || !token(h) {
			f.add("ExposeHeader %.80q: want the name of a header, without wildcard", h)
		}
	}
	if r.MaxAge != nil && *r.MaxAge < 0 {
		f.add("MaxAgeSeconds %d: want a number from 0", *r.MaxAge)
	}
}

func (f *faults) wildcards(what, pattern string) {
	if n := strings.Count(pattern, "*"); n > 1 {
		f.add("%s %.80q: %d wildcards; at most one", what, pattern, n)
	}
}

// visible reports whether s is of visible ASCII characters.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// token reports whether s is a token of HTTP, as the names of headers are.
func token(s string) bool {
	return s != "" && visible(s) && !strings.ContainsAny(s, `"(),/:;<=>?@[\]{}`)
}
