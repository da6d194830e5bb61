package cluster

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"granary/core/goldentest"
	"granary/core/layout"
	"granary/core/rt"
	simnet "granary/sim/net"
)

// TestOperators tells the story in testdata/operators.txt. The flag -update writes what is said.
func TestOperators(t *testing.T) {
	const path = "testdata/operators.txt"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &story{town: newTown(t, 11, 4), plans: map[string]*layout.Version{}}
	s.form(3)
	var told strings.Builder
	for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
		line := lines.Text()
		command, ok := strings.CutPrefix(line, "> ")
		if ok || line == "" || strings.HasPrefix(line, "#") {
			fmt.Fprintln(&told, line)
		}
		if ok {
			told.WriteString(s.say(strings.Fields(command)))
		}
	}
	goldentest.Check(t, path, told.String())
}

// story is a town in which operators act.
type story struct {
	*town
	plans map[string]*layout.Version // by the machine where they were made
}

func (s *story) machine(name string) *machine {
	for _, m := range s.machines {
		if m.name == name {
			return m
		}
	}
	s.t.Fatalf("no machine %q", name)
	return nil
}

// say does what a line says and returns what is to be read below it.
func (s *story) say(words []string) string {
	if words[0] == "settle" {
		s.within(time.Minute, func() bool { return s.agree(len(s.machines)) })
		return ""
	}
	m, what, args := s.machine(words[0]), words[1], words[2:]
	switch what {
	case "join":
		other := s.machine(args[0])
		s.join(other, other.role())
		return ""
	case "stay":
		s.stay = true
		return ""
	}
	var out string
	err := s.on(m, func(ctx context.Context, c *Cluster) (err error) {
		out, err = s.operate(ctx, m, what, args)
		return err
	})
	if err != nil {
		return out + "! " + err.Error() + "\n"
	}
	return out
}

func (s *story) operate(ctx context.Context, m *machine, what string, args []string) (string, error) {
	number := func(i int) (n uint64) {
		if i < len(args) {
			n, _ = strconv.ParseUint(args[i], 10, 64)
		}
		return n
	}
	switch what {
	case "stage":
		other := s.machine(args[0])
		role := other.role()
		role.Node, role.Capacity = simnet.PeerOf(other.id), number(1)<<40
		return "", m.c.Stage(ctx, role)
	case "retire":
		return "", m.c.Retire(ctx, simnet.PeerOf(s.machine(args[0]).id))
	case "params":
		zones, _ := strconv.Atoi(strings.TrimPrefix(args[0], "min_zones="))
		return "", m.c.StageParams(ctx, func(p *layout.Params) { p.MinZones = zones })
	case "revert":
		return "", m.c.Revert(ctx, number(0))
	case "plan":
		return s.plan(ctx, m)
	case "adopt":
		if s.plans[m.name] == nil {
			return "nothing to apply\n", nil
		}
		return "", m.c.Adopt(ctx, s.plans[m.name])
	case "pending":
		status := m.c.Status()
		return s.changes(status.Pending, status.PendingParams, status.Params), nil
	case "remove":
		return "", m.c.Remove(ctx, simnet.PeerOf(s.machine(args[0]).id))
	case "history":
		return s.history(m.c.History()), nil
	}
	s.t.Fatalf("nobody can %q", what)
	return "", nil
}

// plan makes the next version as the admin API does, and keeps it for adopt.
func (s *story) plan(ctx context.Context, m *machine) (string, error) {
	if err := m.c.Sync(ctx); err != nil {
		return "", err
	}
	status := m.c.Status()
	delete(s.plans, m.name)
	if len(status.Pending) == 0 && !status.PendingParams {
		return "nothing is staged\n", nil
	}
	v, err := layout.Assign(status.Roles, status.Params, status.Layout)
	if err != nil {
		return "", err
	}
	s.plans[m.name] = v
	return fmt.Sprintf("version %d: %.1f TiB usable\n", v.Number, float64(v.Usable())/(1<<40)), nil
}

func (s *story) changes(list []layout.Change, params bool, p layout.Params) string {
	var b strings.Builder
	for _, c := range list {
		fmt.Fprintf(&b, "%s: %s -> %s\n", s.name(c.Node), tebibytes(c.From), tebibytes(c.To))
	}
	if params {
		fmt.Fprintf(&b, "at least %d zones\n", p.MinZones)
	}
	return b.String()
}

func (s *story) history(list []PastVersion) string {
	var b strings.Builder
	for i, v := range list {
		fmt.Fprintf(&b, "version %d: %.1f TiB usable\n", v.Number, float64(v.Usable)/(1<<40))
		changed := i == 0 || v.Params != list[i-1].Params
		for _, line := range strings.SplitAfter(s.changes(v.Changes, changed, v.Params), "\n") {
			if line != "" {
				b.WriteString("  " + line)
			}
		}
	}
	return b.String()
}

func (s *story) name(id rt.NodeID) string {
	for _, m := range s.machines {
		if simnet.PeerOf(m.id) == id {
			return m.name
		}
	}
	return id.Short()
}

func tebibytes(r *layout.Role) string {
	if r == nil {
		return "no role"
	}
	return fmt.Sprintf("%d TiB", r.Capacity>>40)
}
