package world

import (
	"context"
	"fmt"

	"granary/core/block"
	"granary/core/kv"
	"granary/core/node"
	"granary/sim/check"
	"granary/sim/disk"
)

// Check does for every machine what granary check does for a stopped node: it reads all that the machine's
// store and disk hold at this moment, durable or about to be, every block included.
func (w *World) Check() (all []check.Violation, err error) {
	for _, m := range w.Machines {
		report, err := w.inspectStore(m.kv.Reader(), m)
		if err != nil {
			return all, fmt.Errorf("check of %s: %w", m.Name, err)
		}
		for _, fault := range report.Faults {
			all = append(all, check.Violation{Fault: check.Unsound, Op: -1, By: -1, Key: "store of " + m.Name,
				Text: fault})
		}
	}
	return all, nil
}

func (w *World) inspectStore(r kv.Reader, m *Machine) (*node.Report, error) {
	stopped := node.Stopped{Env: w.Env, KV: r, Disk: image{Image: m.Disk}, Content: true}
	return stopped.Check(w.Env.Background())
}

// image reads a disk from outside, as it is at this moment.
type image struct {
	block.Disk // panics when used: nothing is written
	*disk.Image
}

// Read implements block.Disk.
func (i image) Read(_ context.Context, h block.Hash, dst []byte) ([]byte, error) {
	data := i.Peek(h)
	if data == nil {
		return dst, block.ErrNotFound
	}
	return append(dst, data...), nil
}

// List implements block.Disk.
func (i image) List(_ context.Context, after block.Hash, limit int) ([]block.Hash, error) {
	var page []block.Hash
	for _, h := range i.Files() {
		if h.Compare(after) > 0 && len(page) < limit {
			page = append(page, h)
		}
	}
	return page, nil
}

// Standings are, in words, what every machine that is up knows of what each has done for the layout.
func (w *World) Standings() (s string) {
	for _, m := range w.Machines {
		if m.Down() {
			continue
		}
		st := m.Node.Cluster().Status()
		if st.Layout == nil {
			s += fmt.Sprintf("\n%s knows no layout", m.Name)
			continue
		}
		s += fmt.Sprintf("\n%s layout %d before %v:", m.Name, st.Layout.Number, st.Before != nil)
		for _, n := range st.Nodes {
			s += fmt.Sprintf(" %s=%d/%d/%d", n.Member.Name, n.Synced, n.Carried, n.Closed)
		}
		for _, j := range m.Node.Jobs().All() {
			if j.Name == "layout" {
				s += fmt.Sprintf(" job %d/%d %s", j.Done, j.Total, j.Cause)
			}
		}
	}
	return s
}
