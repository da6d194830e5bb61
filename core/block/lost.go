package block

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/cluster"
	"granary/core/kv"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

const (
	// LostMax is how many blocks Lost returns, and GiveUp takes, at once.
	LostMax = haveMax
	// lostRefsMax is how many references a LostBlock has.
	lostRefsMax = 64
	// seekTimeout bounds the wait for a member that looks at its disks.
	seekTimeout = time.Minute
)

// ErrLost means that a block was given up as lost: no member of the cluster had it.
var ErrLost = rpc.RegisterError("block.lost", errors.New("the block is lost: no node has it, and it was "+
	"given up"))

// errHere means that a block cannot be given up.
var errHere = rpc.RegisterError("block.here", errors.New("the block is not lost: it is here"))

// LostBlock is a block that no replica in reach holds, and that live references of this node name.
type LostBlock struct {
	Hash Hash
	// GivenUp says that nobody waits for it any more.
	GivenUp bool
	// Refs are those references, the first lostRefsMax of them.
	Refs []Ref
}

// Nowhere counts the blocks that live references of this node name, that no replica in reach holds, and that
// were not given up.
//
// Errors: those of the store.
func (s *Store) Nowhere() (int64, error) {
	gone, err := s.countRank(rankGone)
	if err != nil {
		return 0, err
	}
	silent, err := s.countRank(rankNowhere)
	return gone + silent, err
}

// Lost lists up to LostMax blocks that live references of this node name and that no replica in reach holds,
// in the order of their hashes, behind a hash; those that were given up among them.
//
// Errors: those of the store.
func (s *Store) Lost(after Hash) ([]LostBlock, error) {
	var list []LostBlock
	for _, r := range []rank{rankGone, rankGivenUp, rankNowhere} {
		lo := append(rankKey(r, after), 0)
		page, err := s.rankedIn(lo, behind(lo[:len(keyRank)+1]), LostMax)
		if err != nil {
			return nil, err
		}
		for _, h := range page {
			list = append(list, LostBlock{Hash: h, GivenUp: r == rankGivenUp})
		}
	}
	slices.SortFunc(list, func(a, b LostBlock) int { return a.Hash.Compare(b.Hash) })
	list = list[:min(len(list), LostMax)]
	for i := range list {
		b := &list[i]
		err := s.tables.Local(b.Hash[:], func(r *table.Reader) error {
			return s.rows.refs.Scan(r, nil, nil, func(owner []byte, v refRow) bool {
				if !v.Deleted {
					b.Refs = append(b.Refs, v.ref(owner))
				}
				return len(b.Refs) < lostRefsMax
			})
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// GiveUp has nobody wait any more for blocks that no member of the cluster holds: a node that takes over
// references to them counts them as missing no longer. Nothing is deleted: the objects that refer to them
// stay, reading them fails with ErrLost, and should a copy turn up it is fetched as any other. It returns,
// for each block, nil or why it was not given up.
//
// A block is given up only when every member that was not given up itself has looked at all its disks and has
// no whole file of it. One that cannot be asked, or of which a disk is not in use, may have the only copy
// left.
//
// Errors: who has not answered, or answers for the mark are too few; then any of the blocks may have been
// given up or not, and it can be repeated.
func (s *Store) GiveUp(ctx context.Context, hashes []Hash) ([]error, error) {
	if len(hashes) > LostMax {
		return nil, fmt.Errorf("%d blocks, at most %d at once: %w", len(hashes), LostMax, rpc.ErrMalformed)
	}
	why, err := s.seekEverywhere(ctx, hashes)
	if err != nil {
		return nil, err
	}
	var at []Hash // by row
	var rows []table.Row
	for i, h := range hashes {
		if why[i] != nil {
			continue
		}
		lost, err := s.lostRows(h)
		if err != nil {
			return nil, err
		}
		if len(lost) == 0 {
			why[i] = errors.New("nothing on this node refers to it")
		}
		for _, row := range lost {
			at, rows = append(at, h), append(rows, row)
		}
	}
	for len(at) > 0 {
		n := min(len(at), releaseMax)
		if err := s.markLost(ctx, at[:n], rows[:n]); err != nil {
			return nil, err
		}
		at, rows = at[n:], rows[n:]
	}
	return why, nil
}

// lostRows are the marks on the references to a block that this node knows.
func (s *Store) lostRows(h Hash) (rows []table.Row, err error) {
	err = s.tables.Local(h[:], func(r *table.Reader) error {
		var failed error
		err := s.rows.refs.Scan(r, nil, nil, func(owner []byte, v refRow) bool {
			if v.Deleted {
				return true
			}
			v.Lost |= 1
			row, err := s.rows.refs.Row(slices.Clone(owner), v)
			rows, failed = append(rows, row), err
			return err == nil
		})
		return errors.Join(err, failed)
	})
	return rows, err
}

// seekEverywhere asks every member which of some blocks it holds, and says of each why it is not lost.
func (s *Store) seekEverywhere(ctx context.Context, hashes []Hash) ([]error, error) {
	members := s.topology.Holders()
	if s.env.Mutant("block: given up without asking everybody") {
		_, views, err := s.byReplica(hashes)
		if err != nil {
			return nil, err
		}
		members = views[0].Targets()
	}
	req := &haveRequest{}
	for _, h := range hashes {
		req.Hashes = append(req.Hashes, h[:])
	}
	have, failed := make([]*haveResponse, len(members)), make([]error, len(members))
	err := rt.Each(ctx, s.env, "seek", len(members), len(members), func(ctx context.Context, i int) error {
		ctx, cancel := s.env.WithTimeout(ctx, seekTimeout)
		defer cancel()
		resp, err := methodSeek.Call(ctx, s.endpoint, members[i], req)
		if err == nil && len(resp.Have) != len(hashes) {
			err = rpc.ErrMalformed
		}
		if err != nil {
			failed[i] = fmt.Errorf("%s has not said what it holds: %w", s.topology.Describe(members[i]), err)
		}
		have[i] = resp
		return nil
	})
	if err := errors.Join(append(failed, err)...); err != nil {
		return nil, err
	}
	why := make([]error, len(hashes))
	for i, resp := range have {
		for n, has := range resp.Have {
			if has != 0 {
				why[n] = fmt.Errorf("%s has it", s.topology.Describe(members[i]))
			}
		}
	}
	return why, nil
}

var methodSeek = rpc.NewMethod[haveRequest, haveResponse]("block.seek", rpc.Meta)

// handleSeek says which blocks this node has, whatever it knows of them: it looks at its disks.
func (s *Store) handleSeek(ctx context.Context, _ rt.NodeID, req *haveRequest) (*haveResponse, error) {
	hashes, err := hashesOf(req.Hashes, haveMax)
	if err != nil {
		return nil, err
	}
	if absent := Absent(s.Parts()); len(absent) > 0 {
		return nil, errors.Join(absent...)
	}
	resp := &haveResponse{Have: make([]byte, len(hashes))}
	for i, h := range hashes {
		err := s.withHash(ctx, h, func() error {
			whole, err := s.seek(ctx, h)
			if whole {
				resp.Have[i] = 1
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return resp, nil
}

// seek reports whether a whole file of a block is here, and has scrub judge what is not. Under the hash's
// mutex.
//
// Errors: those of the disk, which may yet give it back.
func (s *Store) seek(ctx context.Context, h Hash) (whole bool, err error) {
	buf, err := s.checking.take(ctx)
	if err != nil {
		return false, err
	}
	defer buf.Release()
	stored, err := s.disk.Read(ctx, h, buf.mem[:0])
	if err == nil {
		err = s.former.verify(ctx, stored, h)
	}
	if err == nil || ctx.Err() != nil {
		return err == nil, err
	}
	s.doubt(h, err)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) {
		return false, nil
	}
	return false, err
}

// giveUpRequest carries references with the mark that their blocks were given up.
type giveUpRequest struct {
	Hashes [][]byte     `cbor:"1,keyasint"`
	Rows   []table.Row  `cbor:"2,keyasint"` // one for each
	Plan   cluster.Plan `cbor:"3,keyasint,omitzero"`
}

type giveUpResponse struct{}

var methodGiveUp = rpc.NewMethod[giveUpRequest, giveUpResponse]("block.give_up", rpc.Meta)

// markLost brings marks to the replicas of their blocks.
func (s *Store) markLost(ctx context.Context, at []Hash, rows []table.Row) error {
	return s.mark(ctx, at, func(ctx context.Context, to share) error {
		req := &giveUpRequest{Plan: to.plan}
		for _, i := range to.at {
			req.Hashes, req.Rows = append(req.Hashes, at[i][:]), append(req.Rows, rows[i])
		}
		_, err := methodGiveUp.Call(ctx, s.endpoint, to.node, req)
		return err
	})
}

func (s *Store) handleGiveUp(ctx context.Context, _ rt.NodeID, req *giveUpRequest) (*giveUpResponse, error) {
	hashes, err := hashesOf(req.Hashes, releaseMax)
	if err != nil {
		return nil, err
	}
	if len(req.Rows) != len(hashes) {
		return nil, fmt.Errorf("%d rows for %d blocks: %w", len(req.Rows), len(hashes), rpc.ErrMalformed)
	}
	return nil, s.changeMarked(ctx, hashes, req.Plan, func(tx *table.Tx, i int) error {
		if tx.Records().Get(presentKey(hashes[i])) != nil {
			return fmt.Errorf("block %v: %w", hashes[i], errHere)
		}
		if err := tx.ApplyRows(req.Rows[i : i+1]); err != nil {
			return err
		}
		return s.rows.follow(tx, hashes[i])
	})
}

// stored reads the stored form of a block here.
//
// Errors: those of the disk; ErrLost instead of ErrNotFound for one that was given up.
func (s *Store) stored(ctx context.Context, h Hash, dst []byte) ([]byte, error) {
	stored, err := s.disk.Read(ctx, h, dst)
	if errors.Is(err, ErrNotFound) && s.givenUp(h) {
		err = fmt.Errorf("block %v: %w", h, ErrLost)
	}
	return stored, err
}

// givenUp reports whether a block was given up, as far as this node knows.
func (s *Store) givenUp(h Hash) (lost bool) {
	err := s.kv.View(func(r kv.Reader) error {
		why, wanted := wantedFor(r, h)
		lost = wanted && why == reasonGivenUp
		return nil
	})
	return err == nil && lost
}
