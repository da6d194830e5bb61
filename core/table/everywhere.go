package table

import (
	"context"
	"fmt"

	"granary/core/cluster"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rt"
)

// Everywhere writes rows of full-copy tables to a write quorum of every live set of *every* partition,
// besides a quorum of the voters: what a replica of any partition must know before it admits more. Rare
// work: it waits for almost all nodes.
//
// Errors: *quorum.Error for the first partition that misses its quorum; the rows may be anywhere then.
func (t *Tables) Everywhere(ctx context.Context, subject string, rows []Row) error {
	return t.planned(ctx, t.topology.FullView, func(full cluster.View) ([]quorum.Failure, error) {
		return t.everywhere(ctx, full, subject, rows)
	})
}

// everywhere is Everywhere with the layout as it is known now; it returns the replicas that failed.
func (t *Tables) everywhere(ctx context.Context, full cluster.View, subject string, rows []Row) (
	[]quorum.Failure, error) {
	tallies := []*quorum.Tally{quorum.NewTally(full, false)}
	names := []string{subject}
	t.topology.EachView(func(first, last layout.Prefix, v cluster.View) {
		tallies = append(tallies, quorum.NewTally(v, false))
		names = append(names, fmt.Sprintf("%s in partition %04x to %04x", subject, first, last))
	})
	req := &writeRequest{PK: fullPK, Items: [][]Row{rows}, Plan: full.Plan()}
	round := quorum.Start(t.env.Background(), t.quorum, t.topology.Nearest(full.Targets()), 0,
		func(ctx context.Context, to rt.NodeID) (*writeResponse, error) {
			ctx, cancel := t.env.WithTimeout(ctx, WriteTimeout)
			defer cancel()
			return methodWrite.Call(ctx, t.endpoint, to, req)
		})
	ctx, cancel := t.env.WithTimeout(ctx, WriteTimeout)
	defer cancel()
	for !decided(tallies, false, false) {
		reply, err := round.Next(ctx, 0)
		if err != nil {
			break
		}
		for _, tally := range tallies {
			tally.Add(reply.Node, answerOf(reply, 0))
		}
	}
	round.Detach(req.size())
	for i, tally := range tallies {
		if tally.Verdict(false) != quorum.Acked {
			t.quorum.Missed("write")
			return tally.Failures(), tally.Missed(names[i], t.topology.Describe, false)
		}
	}
	return nil, nil
}
