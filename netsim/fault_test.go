package netsim

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// reach lists the pairs that packets pass.
func reach(t interface{ Fatal(...any) }, m *Model) (pairs []string) {
	for _, a := range m.topo.Nodes {
		for _, b := range m.topo.Nodes {
			ok, err := m.Reaches(a.Name, b.Name)
			if err != nil {
				t.Fatal(err)
			}
			if ok && a != b {
				pairs = append(pairs, a.Name+">"+b.Name)
			}
		}
	}
	return pairs
}

func TestFaultsPartWhatTheyName(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(*Model) error
		want []string
	}{
		{"none", func(*Model) error { return nil },
			[]string{"a1>a2", "a1>b1", "a2>a1", "a2>b1", "b1>a1", "b1>a2"}},
		{"cut nodes", func(m *Model) error { return m.Cut("a1", "b1") },
			[]string{"a1>a2", "a2>a1", "a2>b1", "b1>a2"}},
		{"cut one way", func(m *Model) error { return m.CutOneWay("a1", "b1") },
			[]string{"a1>a2", "a2>a1", "a2>b1", "b1>a1", "b1>a2"}},
		{"cut zones", func(m *Model) error { return m.Cut("a", "b") }, []string{"a1>a2", "a2>a1"}},
		{"cut inside a zone", func(m *Model) error { return m.Cut("a", "a") },
			[]string{"a1>b1", "a2>b1", "b1>a1", "b1>a2"}},
		{"node from zone", func(m *Model) error { return m.CutOneWay("a2", "b") },
			[]string{"a1>a2", "a1>b1", "a2>a1", "b1>a1", "b1>a2"}},
		{"node from all", func(m *Model) error { return m.CutOneWay(Any, "a1") },
			[]string{"a1>a2", "a1>b1", "a2>b1", "b1>a2"}},
		{"isolate a node", func(m *Model) error { return m.Isolate("a1") }, []string{"a2>b1", "b1>a2"}},
		{"isolate a zone", func(m *Model) error { return m.Isolate("a") }, []string{"a1>a2", "a2>a1"}},
		{"certain loss", func(m *Model) error { return m.Degrade("a", "b", Extra{Loss: Certain}) },
			[]string{"a1>a2", "a2>a1", "b1>a1", "b1>a2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			topo := Regular("x", 2, 2, Path{}, Path{})
			topo.Nodes = topo.Nodes[:3]
			m := mustModel(t, topo)
			if err := c.make(m); err != nil {
				t.Fatal(err)
			}
			if got := reach(t, m); !slices.Equal(got, c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
		})
	}
}

// Every undoing takes back its own doing and no more, in any order.
func TestFaultsAreUndone(t *testing.T) {
	names := []string{"a1", "b1", "a", "b", "c", Any}
	rapid.Check(t, func(t *rapid.T) {
		m := mustModel(t, Regular("x", 3, 2, Path{}, Path{}))
		check := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		check(m.Cut("a2", "c1"))
		check(m.Isolate("b2"))
		before := reach(t, m)
		var undo []func() error
		for range rapid.IntRange(1, 8).Draw(t, "faults") {
			from, to := rapid.SampledFrom(names).Draw(t, "from"), rapid.SampledFrom(names).Draw(t, "to")
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				check(m.Cut(from, to))
				undo = append(undo, func() error { return m.Heal(from, to) })
			case 1:
				check(m.CutOneWay(from, to))
				undo = append(undo, func() error { return m.HealOneWay(from, to) })
			case 2:
				check(m.Isolate(from))
				undo = append(undo, func() error { return m.Rejoin(from) })
			default:
				check(m.Degrade(from, to, Extra{Loss: Certain}))
				undo = append(undo, func() error { return m.Degrade(from, to, Extra{}) })
			}
		}
		for _, u := range rapid.Permutation(undo).Draw(t, "order") {
			check(u())
		}
		if after := reach(t, m); !slices.Equal(before, after) {
			t.Fatalf("before %v\nafter  %v", before, after)
		}
		m.Clear()
		if n := len(reach(t, m)); n != 30 {
			t.Fatalf("after Clear %d of 30 pairs pass", n)
		}
	})
}

func TestDegradeAddsUp(t *testing.T) {
	m := mustModel(t, Regular("x", 2, 1, Path{Delay: 10 * ms}, Path{}))
	if err := errors.Join(
		m.Degrade("a", "b", Extra{Delay: 100 * ms}),
		m.Degrade("a", "b", Extra{Delay: 20 * ms}),
		m.Degrade("a1", Any, Extra{Delay: 5 * ms}),
	); err != nil {
		t.Fatal(err)
	}
	if at, _, _ := m.Send(0, "a1", "b1", 1, nil); at != 35*ms {
		t.Errorf("degraded: %v, want 35ms", at)
	}
	if at, _, _ := m.Send(0, "b1", "a1", 1, nil); at != 10*ms {
		t.Errorf("the other direction: %v, want 10ms", at)
	}
	m.Clear()
	if at, _, _ := m.Send(0, "a1", "b1", 1, nil); at != 35*ms {
		t.Errorf("healed, but behind a slow packet: %v, want 35ms", at)
	}
	if at, _, _ := m.Send(100*ms, "a1", "b1", 1, nil); at != 110*ms {
		t.Errorf("healed: %v, want 110ms", at)
	}
}

func TestFaultsRefuseNonsense(t *testing.T) {
	m := mustModel(t, Regular("x", 2, 1, Path{}, Path{}))
	for _, err := range []error{m.Cut("a", "nowhere"), m.Heal("nowhere", "a"), m.Isolate("z"), m.Rejoin("")} {
		if !errors.Is(err, ErrName) {
			t.Errorf("got %v, want ErrName", err)
		}
	}
	for _, e := range []Extra{{Delay: -1}, {Jitter: ms}, {Loss: Certain + 1}} {
		if err := m.Degrade("a", "b", e); !errors.Is(err, ErrTopology) {
			t.Errorf("%+v: got %v, want ErrTopology", e, err)
		}
	}
	if len(m.rules) != 0 {
		t.Errorf("refused faults left %v", m.rules)
	}
}

// HealAll undoes every cut and nothing else.
func TestHealAll(t *testing.T) {
	m := mustModel(t, Regular("x", 3, 1, Path{}, Path{}))
	for _, err := range []error{m.Cut("a", "b1"), m.CutOneWay(Any, "b"), m.Cut(Any, Any), m.Isolate("c"),
		m.Degrade("a", "b", Extra{Loss: Certain})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	m.HealAll()
	if got, want := reach(t, m), []string{"b1>a1"}; !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
