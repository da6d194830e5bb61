// Package k2vtest is the suite that every K2V endpoint passes, in the simulator and over real HTTP: a
// story of requests and the whole answers to them, in testdata/answers.txt.
package k2vtest

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"granary/core/api/k2v"
	"granary/core/api/k2v/client"

	_ "embed"
)

//go:embed testdata/answers.txt
var story string

// World is an endpoint with a bucket named "bucket" of which Reader may only read.
type World struct {
	Ctx    context.Context
	Client *client.Client
	Reader *client.Client
	// Go runs f beside the caller, and returns how to wait for its end.
	Go func(f func()) (wait func())
	// Settle sends what the index does not know yet to it.
	Settle func()
}

// Run tells the story and compares the answers. It returns the story as it went, for the file.
//
// A block is a request: method and target; headers; and a body behind "| ". "reader" before the method has it
// signed by Reader, "later" has it run beside the next block. "settle" is a block that has no answer.
// "$name." in a request stands for a token or marker that a line "keep name" kept of an earlier answer.
// Behind "=> " is the answer, in which tokens and markers are masked.
func Run(t *testing.T, w World) string {
	t.Helper()
	s := &teller{t: t, w: w}
	var told []string
	for block := range strings.SplitSeq(strings.TrimSpace(story), "\n\n") {
		told = append(told, s.block(block))
	}
	whole := strings.Join(told, "\n\n") + "\n"
	if whole != story {
		t.Errorf("the answers differ; run this test of sim/world with -update and look at the difference")
	}
	return whole
}

type teller struct {
	t     *testing.T
	w     World
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
		case line == "":
			line = filled
		case isHeader:
			header.Set(name, value)
		default:
			s.t.Errorf("line %q", l)
		}
	}
	if line == "" {
		return text
	}
	if line == "settle" {
		s.w.Settle()
		return text
	}
	head := strings.Join(asked, "\n")
	c := s.w.Client
	rest, reader := strings.CutPrefix(line, "reader ")
	if reader {
		c = s.w.Reader
	}
	rest, later := strings.CutPrefix(rest, "later ")
	method, target, _ := strings.Cut(rest, " ")
	ask := func() string { return s.ask(c, method, target, header, strings.Join(body, "\n"), keep) }
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

var (
	masked    = regexp.MustCompile(`("ct":"|"seenMarker":")([A-Za-z0-9_-]+)"`)
	errorPath = regexp.MustCompile(`"region":"[^"]*"`)
)

func (s *teller) ask(c *client.Client, method, target string, header http.Header, body, keep string) string {
	a, err := c.Raw(s.w.Ctx, method, target, header, []byte(body))
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
	text = errorPath.ReplaceAllString(masked.ReplaceAllString(text, "$1~\""), `"region":"~"`)
	if text != "" {
		out += "\n   " + strings.ReplaceAll(text, "\n", "\n   ")
	}
	return out
}
