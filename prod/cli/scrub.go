package cli

import (
	"granary/core/api/admin"
)

type scrubStartCmd struct{}

// Run begins a scrub of the node.
func (scrubStartCmd) Run(a *app) error {
	var s admin.Scrubs
	if err := a.ask("POST", "/v1/scrub", nil, &s); err != nil {
		return err
	}
	return a.print(s, func() {
		a.printf("the scrub begins; see granary scrub status and granary job list\n")
	})
}

type scrubStatusCmd struct{}

// Run shows what scrubs of the node have found.
func (scrubStatusCmd) Run(a *app) error {
	var s admin.Scrubs
	if err := a.ask("GET", "/v1/scrub", nil, &s); err != nil {
		return err
	}
	return a.print(s, func() { a.scrubs(s) })
}

func (a *app) scrubs(s admin.Scrubs) {
	switch {
	case s.Now == nil && s.Last == nil:
		a.printf("no scrub of this node yet: one begins every 14 days, or by granary scrub start\n")
	case s.Now == nil:
		a.scrubPass("the last scrub", s.Last)
	case s.Now.Names:
		a.scrubPass("names compared after disks changed", s.Now)
		if s.Last != nil {
			a.printf("\n")
			a.scrubPass("the last scrub", s.Last)
		}
	default:
		a.scrubPass("the scrub", s.Now)
	}
}

func (a *app) scrubPass(what string, p *admin.ScrubPass) {
	state := "goes on: see granary job list"
	if p.Ended != nil {
		state = "ended " + day(*p.Ended)
	}
	a.printf("%s: began %s, %s\n", what, day(p.Began), state)
	a.printf("missing  %d\nhealed   %d\n\n", p.Missing, p.Healed)
	t := a.table("DISK", "CHECKED", "READ", "BAD", "UNKNOWN", "REMOVED", "ADOPTED", "MOVED", "STATE")
	for _, d := range p.Disks {
		state := "ok"
		if d.Failed != "" {
			state = d.Failed
		}
		t.row(d.Name, d.Checked, approx(d.Bytes), d.Bad, d.Unknown, d.Removed, d.Adopted, d.Moved, state)
	}
	t.end("no disk")
}
