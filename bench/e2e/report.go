package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// report prints and counts steps. It belongs to one goroutine.
type report struct {
	out                    io.Writer
	began                  time.Time
	passed, failed, absent int
	broken                 []string // names of failed steps
	clients                []string // client and verdict
}

func newReport(out io.Writer) *report { return &report{out: out, began: time.Now()} }

// chapter prints a heading.
func (r *report) chapter(format string, args ...any) { fmt.Fprintf(r.out, "\n"+format+"\n", args...) }

// step runs one step and reports whether it passed.
func (r *report) step(name string, f func() error) bool {
	began := time.Now()
	err := f()
	took := time.Since(began).Seconds()
	if err != nil {
		r.failed++
		r.broken = append(r.broken, name)
		fmt.Fprintf(r.out, "FAIL    %6.2f s  %s\n", took, name)
		fmt.Fprintf(r.out, "        %s\n", strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n",
			"\n        "))
		return false
	}
	r.passed++
	fmt.Fprintf(r.out, "PASS    %6.2f s  %s\n", took, name)
	return true
}

// skip notes a step that cannot run here.
func (r *report) skip(name, why string) {
	r.absent++
	fmt.Fprintf(r.out, "SKIP              %s: %s\n", name, why)
}

// note prints a line that is no verdict.
func (r *report) note(format string, args ...any) {
	fmt.Fprintf(r.out, "                  "+format+"\n", args...)
}

// client runs the steps of one client and notes its verdict.
func (r *report) client(name string, f func()) {
	before := r.failed
	f()
	verdict := "passed"
	if r.failed > before {
		verdict = "failed"
	}
	r.clients = append(r.clients, name+" "+verdict)
}

// missing notes a client that is not installed.
func (r *report) missing(name string) {
	r.skip(name, "absent, not on the PATH")
	r.clients = append(r.clients, name+" absent")
}

// close prints the sums and returns the exit code. The sums are alone on the last line.
func (r *report) close() int {
	fmt.Fprintf(r.out, "\nclients: %s\ntook %.0f s\n", strings.Join(r.clients, ", "),
		time.Since(r.began).Seconds())
	for _, name := range r.broken {
		fmt.Fprintf(r.out, "failed: %s\n", name)
	}
	line := fmt.Sprintf("%d passed, %d failed", r.passed, r.failed)
	if r.absent > 0 {
		line += fmt.Sprintf(", %d skipped", r.absent)
	}
	fmt.Fprintln(r.out, line)
	if r.failed > 0 || r.passed == 0 {
		return 1
	}
	return 0
}
