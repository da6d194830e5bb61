package trace

import (
	"fmt"
	"html"
	"slices"
	"strings"
	"time"

	"granary/sim/check"
	"granary/sim/net"
)

// messagesMax bounds what a Space remembers; the oldest are forgotten first.
const messagesMax = 400_000

// Space collects the messages between nodes, for a space-time diagram: a line for each node, time from left
// to right, messages as slanted arrows, those that never arrived as crosses.
type Space struct {
	nodes    []string
	messages []message
	flows    map[flowID]*flow
	spans    []Span
}

// message is what one Write handed in.
type message struct {
	from, to   string
	sent, came time.Duration
	bytes      int64
	end        int64 // offset in its flow behind it
	there      bool
}

// flowID is one direction of a connection.
type flowID struct {
	conn uint64
	from string
}

// flow matches what was sent with what arrived.
type flow struct {
	sent, came int64
	open       []int // messages under way, in order
}

// proofBytes travel ahead of the data of the one who dialled; see package net.
const proofBytes = 800

// NewSpace returns an empty diagram of the nodes, in this order.
func NewSpace(nodes []string) *Space {
	return &Space{nodes: nodes, flows: map[flowID]*flow{}}
}

// Add takes an event; it is what net.Options.Observe wants.
func (s *Space) Add(e net.Event) {
	id := flowID{e.Conn, e.From}
	switch e.Kind {
	case net.Open:
		s.flows[id] = &flow{came: -proofBytes}
		s.flows[flowID{e.Conn, e.To}] = &flow{}
	case net.Send:
		f := s.flows[id]
		if f == nil || len(s.messages) >= messagesMax {
			return
		}
		f.sent += e.Bytes
		f.open = append(f.open, len(s.messages))
		s.messages = append(s.messages, message{from: e.From, to: e.To, sent: e.At, bytes: e.Bytes,
			end: f.sent})
	case net.Deliver:
		f := s.flows[id]
		if f == nil {
			return
		}
		f.came += e.Bytes
		for len(f.open) > 0 && s.messages[f.open[0]].end <= f.came {
			m := &s.messages[f.open[0]]
			m.came, m.there = e.At, true
			f.open = f.open[1:]
		}
	}
}

// Mark adds a fault, or whatever else has a place and a stretch of time: its track is a node, a zone (the
// first letter of its nodes) or all.
func (s *Space) Mark(span Span) { s.spans = append(s.spans, span) }

// Spans are what was marked.
func (s *Space) Spans() []Span { return s.spans }

// Sizes of the diagram, in pixels.
const (
	width, left   = 1600, 90
	rowHeight     = 90
	clientsHeight = 150
	drawnMax      = 6000 // messages of one diagram; of more, the largest are drawn
)

// picture is a diagram being drawn.
type picture struct {
	strings.Builder
	space    *Space
	from, to time.Duration
	clients  []int
}

// SVG draws what happened between from and to, with the operations of the keys that are at fault.
func (s *Space) SVG(h *check.History, faults []check.Violation, from, to time.Duration) []byte {
	p := &picture{space: s, from: from, to: max(to, from+time.Millisecond)}
	height := clientsHeight + rowHeight*len(s.nodes) + 40
	fmt.Fprintf(p, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" `+
		`font-size="11"><rect width="100%%" height="100%%" fill="white"/>`+"\n", width+20, height)
	for i, name := range s.nodes {
		fmt.Fprintf(p, `<text x="4" y="%d">%s</text>`+
			`<line x1="%d" x2="%d" y1="%d" y2="%d" stroke="black"/>`+"\n",
			p.y(name)+4, html.EscapeString(name), left, width, p.row(i), p.row(i))
	}
	p.ticks(height)
	p.faults()
	p.operations(h, faults)
	p.messages()
	p.WriteString("</svg>\n")
	return []byte(p.String())
}

func (p *picture) row(i int) int { return clientsHeight + rowHeight*i + rowHeight/2 }

func (p *picture) y(node string) int { return p.row(slices.Index(p.space.nodes, node)) }

func (p *picture) x(t time.Duration) int {
	t = min(max(t, p.from), p.to)
	return left + int(int64(t-p.from)*(width-left)/int64(p.to-p.from))
}

func (p *picture) ticks(height int) {
	for i := range 11 {
		t := p.from + (p.to-p.from)*time.Duration(i)/10
		fmt.Fprintf(p, `<text x="%d" y="%d" fill="gray">%v</text>`+"\n", p.x(t), height-8,
			t.Round(time.Millisecond))
	}
}

// faults draws a grey bar on every node that a fault hits, while it does.
func (p *picture) faults() {
	for _, s := range p.space.spans {
		if s.To < p.from || s.From > p.to {
			continue
		}
		for i, node := range p.space.nodes {
			if s.Track != "*" && s.Track != node && s.Track != node[:1] {
				continue
			}
			fmt.Fprintf(p, `<rect x="%d" y="%d" width="%d" height="16" fill="orange" fill-opacity="0.4">`+
				`<title>%[4]s</title></rect><text x="%[1]d" y="%[5]d" fill="chocolate">%[4]s</text>`+"\n",
				p.x(s.From), p.row(i)-20, max(p.x(s.To)-p.x(s.From), 2), html.EscapeString(s.Name),
				p.row(i)-8)
		}
	}
}

// operations draws the operations on faulty keys above the nodes, a line for each client.
func (p *picture) operations(h *check.History, faults []check.Violation) {
	keys, bad := map[string]bool{}, map[int]string{}
	for _, f := range faults {
		keys[f.Key], bad[f.Op] = true, f.Text
	}
	for i := range h.Ops {
		op := &h.Ops[i]
		if !keys[op.Key] || op.CalledAt > p.to || op.Return < check.Forever && op.ReturnedAt < p.from {
			continue
		}
		line := slices.Index(p.clients, op.Client)
		if line < 0 {
			line = len(p.clients)
			p.clients = append(p.clients, op.Client)
		}
		colour, end := "steelblue", op.ReturnedAt
		if op.Return == check.Forever {
			end = p.to
		}
		if bad[i] != "" {
			colour = "crimson"
		}
		fmt.Fprintf(p, `<rect x="%d" y="%d" width="%d" height="9" fill="%s" fill-opacity="0.7">`+
			`<title>%s</title></rect>`+"\n", p.x(op.CalledAt), 4+11*(line%12),
			max(p.x(end)-p.x(op.CalledAt), 2), colour,
			html.EscapeString(fmt.Sprintf("#%d %s %s", i, op, bad[i])))
	}
}

func (p *picture) messages() {
	var drawn []*message
	for i := range p.space.messages {
		m := &p.space.messages[i]
		if m.sent <= p.to && m.sent >= p.from && m.from != m.to {
			drawn = append(drawn, m)
		}
	}
	if len(drawn) > drawnMax {
		slices.SortStableFunc(drawn, func(a, b *message) int { return int(b.bytes - a.bytes) })
		drawn = drawn[:drawnMax]
	}
	for _, m := range drawn {
		if !m.there {
			fmt.Fprintf(p, `<text x="%d" y="%d" fill="red">×`+
				`<title>%d bytes to %s never came</title></text>`+"\n",
				p.x(m.sent), p.y(m.from)+4, m.bytes, html.EscapeString(m.to))
			continue
		}
		fmt.Fprintf(p, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="teal" stroke-opacity="0.5">`+
			`<title>%d bytes, %v to %v</title></line>`+"\n", p.x(m.sent), p.y(m.from), p.x(m.came),
			p.y(m.to), m.bytes, m.sent,
			m.came)
	}
}
