package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// setting is a kind of cluster, and what happens to it.
type setting struct {
	name string
	make func(seed uint64) (cluster, []change)
}

// initial is the name of the event that makes a cluster's first table.
const initial = "initial"

func settings() []setting {
	return []setting{
		{"talk", func(seed uint64) (cluster, []change) {
			c := talk(seed)
			return c, talkChanges(c)
		}},
		randomSetting(10, 3), randomSetting(20, 5), randomSetting(50, 5), randomSetting(100, 10),
		randomSetting(200, 10),
	}
}

func randomSetting(nodes, zones int) setting {
	return setting{"random", func(seed uint64) (cluster, []change) {
		r := rand.New(rand.NewPCG(seed, uint64(nodes)))
		c := random(r, seed, nodes, zones)
		return c, randomChanges(r, c)
	}}
}

// history is the samples of one method on one cluster: of the first table, then of each change to it.
type history []sample

// trial is what one seed of a setting gives.
type trial struct {
	first     cluster
	changes   []change
	histories []history // by method
}

// trials returns what all methods do in a setting, by seed.
func (s setting) trials(methods []method, seeds int) ([]trial, error) {
	trials := make([]trial, seeds)
	return trials, parallel(seeds, func(i int) error {
		t := &trials[i]
		t.first, t.changes = s.make(uint64(i + 1))
		for _, m := range methods {
			h, err := m.live(t.first, t.changes)
			if err != nil {
				return err
			}
			t.histories = append(t.histories, h)
		}
		return nil
	})
}

// events returns the names of what each sample of a history is of.
func (t trial) events() []string {
	names := []string{initial}
	for _, change := range t.changes {
		names = append(names, change.name)
	}
	return names
}

// samples returns those of one method and event, by seed.
func samples(trials []trial, method, event int) []sample {
	var all []sample
	for _, t := range trials {
		all = append(all, t.histories[method][event])
	}
	return all
}

// live returns the samples of the first table, and of each change to it.
func (m method) live(first cluster, changes []change) (history, error) {
	before, s, err := m.step(nil, first)
	if err != nil {
		return nil, err
	}
	h := history{s}
	for _, change := range changes {
		_, s, err := m.step(before, change.after)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", change.name, err)
		}
		h = append(h, s)
	}
	return h, nil
}

// step makes the table of c that follows before, and measures it.
func (m method) step(before *state, c cluster) (*state, sample, error) {
	t, err := m.place(c, before)
	if err != nil {
		return nil, sample{}, fmt.Errorf("%s: %w", m.name, err)
	}
	after := &state{c, t}
	s, err := m.measure(before, after)
	return after, s, err
}

// eventsHeader names the columns of events.csv. Stage is first or change. Numbers are means over the seeds,
// but for the ends of ranges; pct is of the bound, of rows, of replicas, or as dispersion says.
// Moved_over_gained and moved_over_least are ratios of sums; empty where nothing had to move and something
// did.
const eventsHeader = "setting,nodes,zones,stage,event,method,seeds,bound_tb,usable_tb,usable_pct," +
	"usable_low,usable_high,violations_pct,moved_pct,moved_low,moved_high,moved_over_gained," +
	"moved_over_least,pair_pct,excess,partner_pct,partners_pct,rebuild_pct\n"

func measureEvents(settings []setting, methods []method, seeds int) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(eventsHeader)
	for _, setting := range settings {
		trials, err := setting.trials(methods, seeds)
		if err != nil {
			return nil, err
		}
		first := trials[0].first
		for event, name := range trials[0].events() {
			stage := "change"
			if name == initial {
				stage = "first"
			}
			for m, method := range methods {
				fmt.Fprintf(&b, "%s,%d,%d,%s,%s,%s,%d,%s\n", setting.name, len(first.nodes),
					first.zoneCount(), stage, name, method.name, seeds, eventCSV(samples(trials, m, event)))
			}
		}
	}
	return b.Bytes(), nil
}

// eventCSV returns the numbers of one method and event.
func eventCSV(samples []sample) string {
	var bound, usable, usablePct, violations, moved summary
	var pair, excess, partner, partners, rebuild summary
	moves, gained, least := 0, 0, 0
	for _, s := range samples {
		bound.add(s.bound / tb)
		usable.add(s.usable / tb)
		usablePct.add(s.usablePct())
		violations.add(100 * s.violations)
		moved.add(s.movedPct())
		moves, gained, least = moves+s.moves, gained+s.gained, least+s.least
		pair.add(100 * s.dispersion.pair)
		excess.add(s.dispersion.excess)
		partner.add(100 * s.dispersion.partner)
		partners.add(100 * s.dispersion.partners)
		rebuild.add(100 * s.dispersion.rebuild)
	}
	return fmt.Sprintf("%.3f,%.3f,%s,%.2f,%s,%s,%s,%.2f,%.2f,%.2f,%.2f,%.2f", bound.mean(), usable.mean(),
		usablePct.csv(), violations.mean(), moved.csv(), ratio(moves, gained), ratio(moves, least),
		pair.mean(), excess.mean(), partner.mean(), partners.mean(), rebuild.mean())
}

func ratio(moves, needed int) string {
	switch {
	case moves == needed:
		return "1.00"
	case needed == 0:
		return ""
	}
	return fmt.Sprintf("%.2f", float64(moves)/float64(needed))
}

// summary is the mean and the ends of numbers.
type summary struct {
	n         int
	sum       float64
	low, high float64
}

func (s *summary) add(x float64) {
	if s.n == 0 {
		s.low, s.high = x, x
	}
	s.n++
	s.sum += x
	s.low, s.high = min(s.low, x), max(s.high, x)
}

func (s *summary) mean() float64 { return s.sum / float64(s.n) }

// csv returns the mean, and the ends of the range.
func (s *summary) csv() string { return fmt.Sprintf("%.2f,%.2f,%.2f", s.mean(), s.low, s.high) }
