package block

import (
	"context"
	"fmt"
	"slices"
	"time"

	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

const (
	// releaseMax is how many references one message marks deleted, in one transaction.
	releaseMax = 256
	// releaseTimeout bounds the wait for one answer.
	releaseTimeout = 10 * time.Second
)

// releaseRequest marks an owner's references deleted.
type releaseRequest struct {
	Owner  Owner    `cbor:"1,keyasint"`
	Hashes [][]byte `cbor:"2,keyasint"`
}

type releaseResponse struct{}

var methodRelease = rpc.NewMethod[releaseRequest, releaseResponse]("block.release", rpc.Meta)

// Release marks an owner's references to blocks deleted, for good, at a write quorum of every live set of
// each. References that are not there are marked too, so that a late one is refused. It may be repeated, in
// whole or in part; the caller has made sure that what the owner is part of is dead.
//
// Errors: *quorum.Error for the first block that too few replicas answered for; others may have been
// released. ctx's. Cost: one round for every 256 hashes.
func (s *Store) Release(ctx context.Context, owner Owner, hashes []Hash) error {
	for page := range slices.Chunk(hashes, releaseMax) {
		if err := s.release(ctx, owner, page); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) release(ctx context.Context, owner Owner, page []Hash) error {
	asked, err := s.byReplica(page)
	if err != nil {
		return err
	}
	answers := make([]error, len(asked))
	err = crew(ctx, s.env, "release", len(asked), len(asked), func(ctx context.Context, i int) error {
		req := &releaseRequest{Owner: owner}
		for _, at := range asked[i].at {
			req.Hashes = append(req.Hashes, page[at][:])
		}
		ctx, cancel := s.env.WithTimeout(ctx, releaseTimeout)
		defer cancel()
		_, answers[i] = methodRelease.Call(ctx, s.endpoint, asked[i].node, req)
		return nil
	})
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for at, h := range page {
		if err := s.released(h, at, asked, answers); err != nil {
			return err
		}
	}
	return nil
}

// released reports whether a write quorum of every live set answered for a block, by now.
func (s *Store) released(h Hash, at int, asked []share, answers []error) error {
	view, err := s.topology.View(layout.PrefixOf(h[:]))
	if err != nil {
		return err
	}
	tally := quorum.NewTally(view, false)
	for i, a := range asked {
		if _, its := slices.BinarySearch(a.at, at); !its {
			continue
		}
		answer := quorum.Answer{Vote: quorum.Stored}
		if answers[i] != nil {
			answer = quorum.Answer{Vote: quorum.Failed, Err: answers[i]}
		}
		tally.Add(a.node, answer)
	}
	if tally.Verdict(false) == quorum.Acked {
		return nil
	}
	return s.missed(h, view, tally, nil)
}

func (s *Store) handleRelease(ctx context.Context, _ rt.NodeID, req *releaseRequest) (*releaseResponse,
	error) {
	hashes, err := hashesOf(req.Hashes, releaseMax)
	if err != nil {
		return nil, err
	}
	if req.Owner == (Owner{}) {
		return nil, fmt.Errorf("release of no owner: %w", rpc.ErrMalformed)
	}
	row, err := s.rows.deleted(req.Owner)
	if err != nil {
		return nil, err
	}
	return nil, s.tables.Change(ctx, func(rows func([]byte) *table.Tx) error {
		for _, h := range hashes {
			if err := rows(h[:]).ApplyRows([]table.Row{row}); err != nil {
				return err
			}
		}
		return nil
	})
}
