package auth

import (
	"fmt"
	"net/url"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// slowEscape is the obvious twin of the escaping.
func slowEscape(s, keep string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"+keep,
			c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// slowQuery is the obvious twin of parseQuery and appendQuery: decode all, encode all, sort.
func slowQuery(raw string) (string, bool) {
	var pairs [][2]string
	for _, piece := range strings.Split(raw, "&") {
		if piece == "" {
			continue
		}
		name, value, _ := strings.Cut(piece, "=")
		n, err1 := url.QueryUnescape(name)
		v, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			return "", false
		}
		pairs = append(pairs, [2]string{slowEscape(n, ""), slowEscape(v, "")})
	}
	sort.Slice(pairs, func(i, j int) bool {
		if pairs[i][0] != pairs[j][0] {
			return pairs[i][0] < pairs[j][0]
		}
		return pairs[i][1] < pairs[j][1]
	})
	var out []string
	for _, p := range pairs {
		if p[0] != "X-Amz-Signature" {
			out = append(out, p[0]+"="+p[1])
		}
	}
	return strings.Join(out, "&"), true
}

var rawPieces = rapid.SampledFrom([]string{
	"a", "Z", "~", "-", ".", "_", "+", " ", "%20", "%2B", "%2b", "%41", "%2F", "/", "%", "%4", "%zz",
	"=", "&", "é",
	"%E9", "*", "%2A", "X-Amz-Signature", "%00", "\x7f", ";", "!", "'",
})

func TestQueryAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := strings.Join(rapid.SliceOfN(rawPieces, 0, 20).Draw(t, "raw"), "")
		want, ok := slowQuery(raw)
		params, err := parseQuery(raw)
		if (err == nil) != ok {
			t.Fatalf("%q: %v, the twin says %v", raw, err, ok)
		}
		if got := string(appendQuery(nil, params)); ok && got != want {
			t.Fatalf("%q: %q, the twin %q", raw, got, want)
		}
	})
}

func TestPathAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := "/" + strings.Join(rapid.SliceOfN(rawPieces, 0, 20).Draw(t, "raw"), "")
		var want []string
		ok := true
		for _, segment := range strings.Split(raw, "/") {
			s, err := url.PathUnescape(segment)
			ok = ok && err == nil
			want = append(want, slowEscape(s, ""))
		}
		got, err := appendPath(nil, raw)
		if (err == nil) != ok || ok && string(got) != strings.Join(want, "/") {
			t.Fatalf("%q: %q, %v; the twin %q", raw, got, err, want)
		}
		if twice := string(appendPathTwice(nil, raw)); twice != slowEscape(raw, "/") {
			t.Fatalf("%q twice: %q", raw, twice)
		}
	})
}

func TestPathIsNotNormalised(t *testing.T) {
	for raw, want := range map[string]string{
		"":                     "/",
		"/":                    "/",
		"//a/./../b//":         "//a/./../b//",
		"/a%2fb":               "/a%2Fb",
		"/a+b$c":               "/a%2Bb%24c",
		"/%7Euser/%c3%a9t%C3é": "/~user/%C3%A9t%C3%C3%A9",
	} {
		if got, err := appendPath(nil, raw); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v, want %q", raw, got, err, want)
		}
	}
}

func TestFoldedValues(t *testing.T) {
	for value, want := range map[string]string{
		"":                     "",
		"  a  ":                "a",
		"a   b\t c":            "a b c",
		`"a   b"`:              `"a b"`,
		" \t ":                 "",
		"\u00a0a\u00a0\u00a0b": "\u00a0a\u00a0\u00a0b",
	} {
		if got := string(appendFolded(nil, value)); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}

func TestHeadersThatServersTakeAway(t *testing.T) {
	r := &Request{
		Host: "h", ContentLength: 7, TransferEncoding: []string{"chunked"},
		Header: map[string][]string{"X-Amz-Meta-A": {"1", " 2 "}, "Host": {"forged"}},
	}
	got, err := appendHeaders(nil, r, []string{"content-length", "expect", "host", "transfer-encoding",
		"x-amz-meta-a"})
	want := "content-length:7\nexpect:100-continue\nhost:h\ntransfer-encoding:chunked\nx-amz-meta-a:1,2\n"
	if err != nil || string(got) != want {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestLongHeaderNames(t *testing.T) {
	long := "X-Amz-Meta-" + strings.Repeat("Abc-", 40) + "D"
	if _, ok := lookupFolded(map[string][]string{long: {"v"}}, strings.ToLower(long)); !ok {
		t.Fatal("a long header name is not found")
	}
}
