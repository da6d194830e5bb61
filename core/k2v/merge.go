package k2v

import (
	"context"
	"fmt"
	"slices"

	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

// mergeRequest brings items from the replica that wrote them.
type mergeRequest struct {
	Parts []mergePart  `cbor:"1,keyasint"`
	Plan  cluster.Plan `cbor:"2,keyasint,omitzero"`
}

type mergePart struct {
	PK   []byte       `cbor:"1,keyasint"`
	Rows []table.Row  `cbor:"2,keyasint"`
	plan cluster.Plan // that this node admitted its own writes to them with
}

// mergeResponse says that the items are stored.
type mergeResponse struct {
	// Syncing says that the replica does not know all that was acknowledged: gates that are shut, and
	// layouts, that it refused writes for before.
	Syncing bool `cbor:"1,keyasint,omitempty"`
}

var methodMerge = rpc.NewMethod[mergeRequest, mergeResponse]("k2v.merge", rpc.Meta)

// replicate brings items that this node has written to a write quorum of every live set of each.
func (s *Store) replicate(ctx context.Context, parts []mergePart, subject string) error {
	merges, err := s.merges(parts)
	if err != nil {
		return err
	}
	return rt.Each(ctx, s.env, "k2v merge", sideBySide, len(merges), func(ctx context.Context, i int) error {
		return s.merge(ctx, merges[i], subject)
	})
}

// merging is a message, and where it goes.
type merging struct {
	mergeRequest
	view cluster.View
}

// merges deals parts into messages: what goes to the same replicas goes together.
func (s *Store) merges(parts []mergePart) (all []*merging, err error) {
	var order []string
	views, byPlace := map[string]cluster.View{}, map[string][]mergePart{}
	for _, p := range parts {
		pk := p.PK
		if s.env.Mutant("k2v: a batch goes where its first item goes") {
			pk = parts[0].PK
		}
		view, err := s.viewOf(pk)
		if err != nil {
			return nil, err
		}
		name := places(view)
		if _, ok := views[name]; !ok {
			views[name], order = view, append(order, name)
		}
		byPlace[name] = append(byPlace[name], p)
	}
	for _, name := range order {
		for _, req := range split(byPlace[name]) {
			req.Plan = views[name].Plan()
			all = append(all, &merging{req, views[name]})
		}
	}
	return all, nil
}

// split deals rows into messages.
func split(parts []mergePart) (chunks []mergeRequest) {
	size := chunkMax + 1
	for _, p := range parts {
		open := false
		for _, row := range p.Rows {
			n := len(row.Value) + len(row.Sort) + len(p.PK)
			if size+n > chunkMax {
				chunks, size, open = append(chunks, mergeRequest{}), 0, false
			}
			c := &chunks[len(chunks)-1]
			if !open {
				c.Parts, open = append(c.Parts, mergePart{PK: p.PK, plan: p.plan}), true
			}
			last := &c.Parts[len(c.Parts)-1]
			last.Rows = append(last.Rows, row)
			size += n
		}
	}
	return chunks
}

func (r *mergeRequest) size() (n int64) {
	for _, p := range r.Parts {
		for _, row := range p.Rows {
			n += int64(len(row.Value) + len(row.Sort) + len(p.PK))
		}
	}
	return n
}

// merge sends items to the other replicas. If they refuse it as planned with an old layout, and that
// decides, it learns theirs and brings each item to the sets that are live for it then.
func (s *Store) merge(ctx context.Context, m *merging, subject string) error {
	tally := s.mergeAt(ctx, m.view, &m.mergeRequest)
	if s.verdict(tally) == quorum.Acked && quorum.InTime(s.env, ctx) {
		return nil
	}
	if s.replanned(ctx, m, tally) {
		return s.replicate(ctx, m.Parts, subject)
	}
	s.quorum.Missed("k2v write")
	return tally.Missed(subject, s.topology.Describe, true)
}

// replanned learns the layout of a replica that refused an older one, and reports whether items go elsewhere
// now. They all do, or none does: they were planned alike.
func (s *Store) replanned(ctx context.Context, m *merging, tally *quorum.Tally) bool {
	if !quorum.Learn(ctx, s.topology, tally.Failures()) {
		return false
	}
	view, err := s.viewOf(m.Parts[0].PK)
	return err == nil && view.Plan() != m.Plan
}

// mergeAt sends items to the replicas and counts their answers: W of the set by which they were planned must
// be in sync, W of each other live set have stored them. What this node wrote by another plan it is sent too,
// and answers for by this one.
func (s *Store) mergeAt(ctx context.Context, view cluster.View, req *mergeRequest) *quorum.Tally {
	tally := quorum.NewTally(view, true)
	to := slices.Clone(s.topology.Nearest(view.Targets()))
	if !slices.ContainsFunc(req.Parts, func(p mergePart) bool { return p.plan != req.Plan }) {
		tally.Add(s.env.Self(), quorum.Answer{Vote: quorum.Clean})
		to = slices.DeleteFunc(to, func(n rt.NodeID) bool { return n == s.env.Self() })
	}
	round := quorum.Start(s.env.Background(), s.quorum, to, 0,
		func(ctx context.Context, to rt.NodeID) (*mergeResponse, error) {
			ctx, cancel := s.env.WithTimeout(ctx, table.WriteTimeout)
			defer cancel()
			return methodMerge.Call(ctx, s.endpoint, to, req)
		})
	for s.verdict(tally) == quorum.Waiting {
		reply, err := round.Next(ctx, 0)
		if err != nil {
			break
		}
		answer := quorum.Answer{Vote: quorum.Clean}
		switch {
		case reply.Err != nil:
			answer = quorum.Answer{Vote: quorum.Failed, Err: reply.Err}
		case reply.Value.Syncing && !s.env.Mutant("k2v: a syncing store counts"):
			answer.Vote = quorum.Stored
		}
		tally.Add(reply.Node, answer)
	}
	round.Detach(req.size())
	return tally
}

func (s *Store) verdict(t *quorum.Tally) quorum.Verdict {
	if s.env.Mutant("quorum of one") {
		return quorum.Acked
	}
	return t.Verdict(false)
}

// handleMerge takes in items that another replica has written.
func (s *Store) handleMerge(ctx context.Context, _ rt.NodeID, req *mergeRequest) (*mergeResponse, error) {
	resp := &mergeResponse{}
	return resp, s.tables.Change(ctx, func(rows func([]byte) *table.Tx) error {
		for _, p := range req.Parts {
			if len(p.PK) != itemPKLen {
				return fmt.Errorf("partition key of %d bytes: %w", len(p.PK), rpc.ErrMalformed)
			}
			inSync, err := cluster.AdmitWrite(s.env, rows(p.PK).Records(), req.Plan)
			if err != nil {
				return err
			}
			resp.Syncing = !inSync
			if err := s.admit(rows, bucket.BucketID(p.PK[:len(bucket.BucketID{})])); err != nil {
				return err
			}
			if err := rows(p.PK).ApplyRows(p.Rows); err != nil {
				return err
			}
		}
		return nil
	})
}
