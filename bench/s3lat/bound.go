package s3lat

import (
	"fmt"
	"math"
	"time"

	"granary/netsim"
)

// SiteRound returns one round trip between a node and the nearest other site, without jitter; 0 if there is
// no other site. Errors: netsim.ErrTopology, netsim.ErrName.
func SiteRound(t netsim.Topology, node string) (time.Duration, error) {
	sites, err := otherSites(t, node)
	if err != nil || len(sites) == 0 {
		return 0, err
	}
	least := sites[0].mean
	for _, s := range sites {
		least = min(least, s.mean)
	}
	return time.Duration(math.Round(least)), nil
}

// Bound returns the mean time that a node must wait until need of the sites have answered one message each
// (its own is one of them and answers at once), on a topology without load: the mean of the (need-1)-th
// fastest of the jittered round trips to the others. Loss and bandwidth are left out, so it is a lower bound.
//
// The round trip of two uniform jitters has a trapezoid for density; the mean of the order statistic is
// integrated numerically, to about a microsecond. Errors: netsim.ErrTopology, netsim.ErrName, and need beyond
// the sites.
func Bound(t netsim.Topology, node string, need int) (time.Duration, error) {
	sites, err := otherSites(t, node)
	if err != nil {
		return 0, err
	}
	if need < 1 || need > len(sites)+1 {
		return 0, fmt.Errorf("answers of %d sites: there are %d", need, len(sites)+1)
	}
	if need == 1 {
		return 0, nil
	}
	least, most := math.Inf(1), 0.0
	for _, s := range sites {
		least, most = min(least, s.mean-s.wide-s.narrow), max(most, s.mean+s.wide+s.narrow)
	}
	const steps = 20_000
	width := (most - least) / steps
	mean := least
	for i := range steps {
		mean += width * (1 - atLeast(need-1, sites, least+(float64(i)+0.5)*width))
	}
	return time.Duration(math.Round(mean)), nil
}

// roundTrip is the distribution of a round trip, in ns: mean ± wide ± narrow, both uniform.
type roundTrip struct{ mean, wide, narrow float64 }

// otherSites returns the best round trip from a node to each other zone that has nodes.
func otherSites(t netsim.Topology, node string) ([]roundTrip, error) {
	m, err := netsim.NewModel(t)
	if err != nil {
		return nil, err
	}
	best := map[string]roundTrip{}
	var order []string
	own := ""
	for _, n := range t.Nodes {
		if n.Name == node {
			own = n.Zone
		}
	}
	for _, n := range t.Nodes {
		out, err := m.Path(node, n.Name)
		if err != nil {
			return nil, err
		}
		if n.Zone == own {
			continue
		}
		back, err := m.Path(n.Name, node)
		if err != nil {
			return nil, err
		}
		r := roundTrip{mean: float64(out.Delay + back.Delay), wide: float64(max(out.Jitter, back.Jitter)),
			narrow: float64(min(out.Jitter, back.Jitter))}
		old, seen := best[n.Zone]
		if !seen {
			order = append(order, n.Zone)
		}
		if !seen || r.mean < old.mean {
			best[n.Zone] = r
		}
	}
	var sites []roundTrip
	for _, zone := range order {
		sites = append(sites, best[zone])
	}
	return sites, nil
}

// within is the probability that the round trip takes at most x.
func (r roundTrip) within(x float64) float64 {
	x -= r.mean
	// area is the integral of the distribution function of the wide one, from -infinity to y.
	area := func(y float64) float64 {
		switch {
		case y <= -r.wide:
			return 0
		case y >= r.wide:
			return y
		}
		return (y + r.wide) * (y + r.wide) / (4 * r.wide)
	}
	switch {
	case x < -r.wide-r.narrow:
		return 0
	case x >= r.wide+r.narrow:
		return 1
	case r.narrow == 0:
		return (x + r.wide) / (2 * r.wide)
	}
	return (area(x+r.narrow) - area(x-r.narrow)) / (2 * r.narrow)
}

// atLeast is the probability that k or more of the round trips take at most x.
func atLeast(k int, sites []roundTrip, x float64) float64 {
	exactly := make([]float64, len(sites)+1) // by how many
	exactly[0] = 1
	for i, s := range sites {
		p := s.within(x)
		for n := i + 1; n > 0; n-- {
			exactly[n] = exactly[n]*(1-p) + exactly[n-1]*p
		}
		exactly[0] *= 1 - p
	}
	sum := 0.0
	for _, p := range exactly[k:] {
		sum += p
	}
	return sum
}
