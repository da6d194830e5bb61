package campaign

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"granary/sim/check"
	"granary/sim/net"
	"granary/sim/trace"
)

// reportLines bounds the operations that a report shows for a key.
const reportLines = 40

// Report writes what went wrong, for a person, with the command that replays it.
func (r *Result) Report(w io.Writer) {
	fmt.Fprintf(w, "seed %d FAILED: %d nodes, %d operations, %v of virtual time\n", r.Seed,
		len(r.Plan.Config.Nodes), r.Ops, r.Virtual)
	if r.Err != nil {
		fmt.Fprintf(w, "  %v\n", r.Err)
	}
	for i, v := range r.Violations {
		if i == 10 {
			fmt.Fprintf(w, "  and %d more\n", len(r.Violations)-i)
			break
		}
		fmt.Fprintf(w, "  %v\n", v)
	}
	for i, key := range r.Keys() {
		if i == 2 {
			break
		}
		lines := append(r.History.Lines(key), r.Items.Lines(key)...)
		fmt.Fprintf(w, "  history of %q (the last %d of %d):\n", key, min(reportLines, len(lines)),
			len(lines))
		for _, l := range lines[max(0, len(lines)-reportLines):] {
			fmt.Fprintf(w, "    %s\n", l)
		}
	}
	fmt.Fprintf(w, "  faults:\n")
	for _, e := range r.Plan.Faults {
		fmt.Fprintf(w, "    %v\n", e)
	}
	replay := fmt.Sprintf("go run ./sim/cmd/sim -seed %d", r.Seed)
	if len(r.Plan.Mutants) > 0 {
		replay += fmt.Sprintf(" -mutant %q", strings.Join(r.Plan.Mutants, ","))
	}
	fmt.Fprintf(w, "replay: %s\n", replay)
}

// Folder runs a plan again and writes everything about it into a folder: the report and the command that
// replays it, the plan, the nodes' log, porcupine's picture of the first key that is wrong, the messages in
// space and time, and a trace for Perfetto.
//
// Errors: those of writing.
func Folder(dir string, p *Plan) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	logs := trace.NewTail(200_000)
	space := trace.NewSpace(p.Config.Nodes)
	r := Run(p, Options{Log: logs.Add, Observe: func(e net.Event) { space.Add(e) }})
	var report bytes.Buffer
	r.Report(&report)
	plan := filepath.Join(dir, "failing.plan")
	fmt.Fprintf(&report, "or:     go run ./sim/cmd/sim -plan %s\n", plan)
	files := map[string][]byte{"report.txt": report.Bytes(), "failing.plan": []byte(p.String()),
		"nodes.log": []byte(logs.String())}
	if keys := r.Keys(); len(keys) > 0 {
		if page, err := check.HTML(r.History, keys[0]); err == nil {
			files["history.html"] = page
		}
	}
	for _, e := range p.Faults {
		end := e.At + e.For
		if e.For == 0 {
			end = r.Virtual
		}
		space.Mark(trace.Span{Group: "faults", Track: e.On, Name: e.String(), From: r.begun + e.At,
			To: r.begun + end})
	}
	from, to := r.window()
	files["space-time.svg"] = space.SVG(r.History, r.Violations, from, to)
	timeline, err := trace.Timeline(r.History, r.Violations, space.Spans(), r.Virtual)
	if err != nil {
		return err
	}
	files["trace.json"] = timeline
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
