package campaign

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"granary/sim/check"
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
	replay := fmt.Sprintf("go run ./sim/cmd/sim -seed %d%s", r.Seed, r.Plan.Flags)
	if r.Plan.File != "" {
		replay = "go run ./sim/cmd/sim -plan " + r.Plan.File
	}
	if len(r.Plan.Mutants) > 0 {
		replay += fmt.Sprintf(" -mutant %q", strings.Join(r.Plan.Mutants, ","))
	}
	fmt.Fprintf(w, "replay: %s\n", replay)
}

// File is one file of a report.
type File struct {
	Name string
	Text []byte
}

// Files runs a plan again and returns everything about it, to be written into a folder: the report and the
// command that replays it, the plan, the nodes' log, porcupine's picture of the first key that is wrong, the
// messages in space and time, and a trace for Perfetto.
func Files(p *Plan) []File {
	logs := trace.NewTail(logLines)
	space := trace.NewSpace(p.Config.Nodes)
	r := Run(p, Options{Log: logs.Add, Observe: space.Add})
	var report bytes.Buffer
	r.Report(&report)
	fmt.Fprintln(&report, "or:     go run ./sim/cmd/sim -plan failing.plan")
	files := []File{{"report.txt", report.Bytes()}, {"failing.plan", []byte(p.String())},
		{"nodes.log", []byte(logs.String())}}
	if keys := r.Keys(); len(keys) > 0 {
		if page, err := check.HTML(r.History, keys[0]); err == nil { // else it is of items, or of no key
			files = append(files, File{"history.html", page})
		}
	}
	for _, e := range p.Faults {
		end := r.Virtual
		if e.For > 0 {
			end = r.begun + e.At + e.For
		}
		space.Mark(trace.Span{Group: "faults", Track: e.On, Name: e.String(), From: r.begun + e.At, To: end})
	}
	from, to := r.window()
	files = append(files, File{"space-time.svg", space.SVG(r.History, r.Violations, from, to)})
	if timeline, err := trace.Timeline(r.History, r.Violations, space.Spans(), r.Virtual); err == nil {
		files = append(files, File{"trace.json", timeline})
	}
	return files
}

// logLines bounds the lines of the nodes' log.
const logLines = 200_000
