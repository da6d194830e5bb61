// Package k2vtest is the suite that every K2V endpoint passes, in the simulator and over real HTTP: a
// story of requests and the whole answers to them, in testdata/answers.txt, and scenes of what is too long
// for a story. testdata/rows.txt lists what is promised; a promise that nothing shows fails the suite.
package k2vtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"granary/core/api/k2v"
	"granary/core/api/k2v/client"
	"granary/core/bucket"
	"granary/core/cors"

	_ "embed"
)

//go:embed testdata/answers.txt
var story string

// World is the endpoint of one of three replicas, with a bucket named "bucket" that Reader may only read and
// Writer only write.
type World struct {
	Ctx    context.Context
	Client *client.Client
	Reader *client.Client
	Writer *client.Client
	// Go runs f beside the caller, and returns how to wait for its end.
	Go func(f func()) (wait func())
	// Settle sends what the index does not know yet to it.
	Settle func()
	// SetCORS sets the bucket's rules.
	SetCORS func(cors.Rules) error
	// CutOff takes the other replicas away, for good.
	CutOff func()
}

// Keys makes the keys of Reader and Writer.
func Keys(ctx context.Context, b *bucket.Store) (reader, writer bucket.Key, err error) {
	for _, k := range []struct {
		name string
		key  *bucket.Key
		may  bucket.Grant
	}{{"reader", &reader, bucket.Grant{Read: true}}, {"writer", &writer, bucket.Grant{Write: true}}} {
		if *k.key, err = b.CreateKey(ctx, k.name, false); err != nil {
			return reader, writer, err
		}
		_, err = b.Change(ctx, "bucket", k.key.ID, func(g *bucket.Grant) {
			g.Read, g.Write = k.may.Read, k.may.Write
		})
		if err != nil {
			return reader, writer, err
		}
	}
	return reader, writer, nil
}

// SetCORS sets the rules of the bucket.
func SetCORS(ctx context.Context, s *bucket.Store, rules cors.Rules) error {
	b, err := s.ByName(ctx, "bucket")
	if err != nil {
		return err
	}
	return s.SetCORS(ctx, b, rules)
}

// Run tells the story, compares the answers, plays the scenes, and checks that nothing promised was left out.
// It returns the story as it went, for the file.
//
// A block is a request: method and target; headers; and a body behind "| ". "reader" or "writer" before the
// method has it signed by that client, "unsigned" by nobody; "later" has it run beside the next block.
// "settle" and "cors", with rules, are blocks that have no answer. "$name." in a request stands for a token
// or marker that a line "keep name" kept of an earlier answer; a line "row names" says what the block shows.
// Behind "=> " is the answer, in which tokens and markers are masked.
func Run(t *testing.T, w World) string {
	t.Helper()
	s := &teller{t: t, w: w, rows: newRows(t)}
	var told []string
	for block := range strings.SplitSeq(strings.TrimSpace(story), "\n\n") {
		got := s.block(block)
		if told = append(told, got); got != block {
			t.Errorf("%s\n\ndiffers from the story, which has\n\n%s\n\nThe flag -update of the test in "+
				"sim/world rewrites it.", got, block)
		}
	}
	for _, scene := range []func(*teller){keyLimits, valueLimits, batchLimits, pages, withoutQuorum} {
		scene(s)
	}
	s.rows.check()
	return strings.Join(told, "\n\n") + "\n"
}

type teller struct {
	t     *testing.T
	w     World
	rows  *rows
	kept  []kept        // newest first
	later func() string // ends the block that runs beside
}

// kept is a token or marker that the story named.
type kept struct{ name, value string }

// block tells one block and returns it with the answer that came.
func (s *teller) block(text string) string {
	var asked []string
	body, keep := []string(nil), ""
	header := http.Header{}
	line := ""
	for l := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(l, "=> ") || strings.HasPrefix(l, "   ") {
			continue
		}
		asked = append(asked, l)
		filled := l
		for _, k := range s.kept {
			filled = strings.ReplaceAll(filled, "$"+k.name+".", k.value)
		}
		name, value, isHeader := strings.Cut(filled, ": ")
		switch {
		case strings.HasPrefix(l, "#"):
		case strings.HasPrefix(l, "| "):
			body = append(body, filled[2:])
		case strings.HasPrefix(l, "keep "):
			keep = l[5:]
		case strings.HasPrefix(l, "row "):
			s.rows.show(strings.Fields(l[4:])...)
		case line == "":
			line = filled
		case isHeader:
			header.Add(name, value)
		default:
			s.t.Errorf("line %q", l)
		}
	}
	if line == "" {
		return text
	}
	if s.prepare(line) {
		return text
	}
	head := strings.Join(asked, "\n")
	send, rest := s.signer(line)
	rest, later := strings.CutPrefix(rest, "later ")
	method, target, _ := strings.Cut(rest, " ")
	ask := func() string { return s.ask(send, method, target, header, strings.Join(body, "\n"), keep) }
	if line == "wait" {
		return head + s.later()
	}
	if later {
		answer := ""
		wait := s.w.Go(func() { answer = ask() })
		s.later = func() string { wait(); return answer }
		return head
	}
	return head + ask()
}

// prepare does what a block without answer says.
func (s *teller) prepare(line string) bool {
	rules, isCORS := strings.CutPrefix(line, "cors ")
	switch {
	case line == "settle":
		s.w.Settle()
	case isCORS:
		var list cors.Rules
		err := json.Unmarshal([]byte(rules), &list)
		if err == nil {
			err = s.w.SetCORS(list)
		}
		if err != nil {
			s.t.Errorf("%s: %v", line, err)
		}
	default:
		return false
	}
	return true
}

// sender makes a request.
type sender func(ctx context.Context, method, target string, header http.Header, body []byte) (client.Answer,
	error)

// signer returns who makes the request of a line, and the rest of the line.
func (s *teller) signer(line string) (sender, string) {
	who, rest, _ := strings.Cut(line, " ")
	switch who {
	case "reader":
		return s.w.Reader.Raw, rest
	case "writer":
		return s.w.Writer.Raw, rest
	case "unsigned":
		return s.unsigned, rest
	}
	return s.w.Client.Raw, line
}

// unsigned makes a request as a browser makes a preflight.
func (s *teller) unsigned(ctx context.Context, method, target string, header http.Header, _ []byte) (
	client.Answer, error) {
	u, err := url.Parse(s.w.Client.Endpoint + target)
	if err != nil {
		return client.Answer{}, err
	}
	req := &http.Request{Method: method, URL: u, Host: u.Host, Header: header, Body: http.NoBody}
	resp, err := s.w.Client.HTTP.Do(req.WithContext(ctx))
	if err != nil {
		return client.Answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return client.Answer{Status: resp.StatusCode, Header: resp.Header, Body: b}, err
}

var (
	masked    = regexp.MustCompile(`("ct":"|"seenMarker":")([A-Za-z0-9_-]+)"`)
	errorPath = regexp.MustCompile(`"region":"[^"]*"`)
)

func (s *teller) ask(send sender, method, target string, header http.Header, body, keep string) string {
	a, err := send(s.w.Ctx, method, target, header, []byte(body))
	if err != nil {
		return "\n=> " + err.Error()
	}
	token := a.Header.Get(k2v.TokenHeader)
	text := string(a.Body)
	if keep != "" {
		k := kept{keep, token}
		if m := masked.FindStringSubmatch(text); m != nil {
			k.value = m[2]
		}
		s.kept = append([]kept{k}, s.kept...)
	}
	out := fmt.Sprintf("\n=> %d", a.Status)
	if ct := a.Header.Get("Content-Type"); ct != "" && method != "HEAD" {
		out += " " + ct
	}
	if token != "" {
		out += " token"
	}
	for _, name := range slices.Sorted(maps.Keys(a.Header)) {
		if name == "Vary" || strings.HasPrefix(name, "Access-Control-") {
			out += "\n   " + name + ": " + strings.Join(a.Header[name], " / ")
		}
	}
	text = errorPath.ReplaceAllString(masked.ReplaceAllString(text, "$1~\""), `"region":"~"`)
	if text != "" {
		out += "\n   " + strings.ReplaceAll(text, "\n", "\n   ")
	}
	return out
}
