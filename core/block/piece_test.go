package block

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"granary/core/kv/memkv"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
	"granary/sim/sched"
)

// shelfDisk holds one file.
type shelfDisk struct {
	Disk
	stored []byte
	reads  int
}

func (d *shelfDisk) Read(_ context.Context, _ Hash, dst []byte) ([]byte, error) {
	d.reads++
	if d.stored == nil {
		return dst, ErrNotFound
	}
	return append(dst, d.stored...), nil
}

// bareStore has what pieces need and nothing to keep a block in.
func bareStore(env *sched.Env, d Disk) *Store {
	return &Store{env: env, kv: memkv.Open(env, memkv.NewImage(), memkv.Options{}), lock: env.NewLock(),
		former: newFormer(env, false), disk: d,
		group:     rt.NewGroup(env, env.Background()),
		inbound:   newPool(env, "inbound", 2),
		serving:   newPool(env, "serving", 2),
		transfers: map[transferID]*transfer{}, loans: map[transferID]*loan{},
		sources: map[rt.NodeID]*source{}, leaving: map[rt.NodeID]int{}}
}

// cutUp makes the pieces of a block.
func cutUp(h Hash, stored []byte, transfer uint64) (reqs []*pieceRequest) {
	for off := 0; off < len(stored); off += pieceBytes {
		reqs = append(reqs, &pieceRequest{Hash: h, Transfer: transfer, Size: len(stored), Offset: off,
			Data: stored[off:min(off+pieceBytes, len(stored))]})
	}
	reqs[0].Ref = &table.Row{}
	return reqs
}

// together calls f for 0 to n-1, each in a task, and returns the errors.
func together(ctx context.Context, env rt.Env, n int, f func(ctx context.Context, i int) error) []error {
	errs := make([]error, n)
	g := rt.NewGroup(env, ctx)
	for i := range n {
		g.Go("piece", func(ctx context.Context) error {
			errs[i] = f(ctx, i)
			return nil
		})
	}
	g.Wait()
	return errs
}

// A block whose pieces do not make up what its hash says is refused, by one call for all, and its memory goes
// back.
func TestPiecesAreVerified(t *testing.T) {
	inSim(t, func(ctx context.Context, env *sched.Env) {
		s := bareStore(env, nil)
		stored := append(pattern(5*pieceBytes+77), formPlain)
		reqs := cutUp(Hash{1}, stored, 7)
		answers := 0
		for i, err := range together(ctx, env, len(reqs), func(ctx context.Context, i int) error {
			_, err := s.handlePiece(ctx, rt.NodeID{9}, reqs[i])
			return err
		}) {
			if errors.Is(err, ErrCorrupt) {
				answers++
			} else if !errors.Is(err, rpc.ErrUnanswered) {
				t.Errorf("piece %d of a block that is another: %v, want ErrCorrupt or nothing", i, err)
			}
		}
		if answers != 1 {
			t.Errorf("%d of %d pieces were answered, want one", answers, len(reqs))
		}
		if n := s.inbound.limit.InUse(); n != 0 || len(s.transfers) != 0 {
			t.Errorf("%d buffers and %d transfers are left over", n, len(s.transfers))
		}
	})
}

// A transfer lives as long as one of its calls: when they are given up nothing stays, and transfers of two
// senders with one number are two.
func TestPiecesAreForgottenWithTheirCalls(t *testing.T) {
	inSim(t, func(ctx context.Context, env *sched.Env) {
		s := bareStore(env, nil)
		reqs := cutUp(Hash{1}, append(pattern(3*pieceBytes), formPlain), 7)
		short, cancel := env.WithTimeout(ctx, time.Second)
		defer cancel()
		for i, err := range together(short, env, 4, func(ctx context.Context, i int) error {
			_, err := s.handlePiece(ctx, rt.NodeID{byte(i % 2)}, reqs[i/2])
			return err
		}) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("call %d of two unfinished transfers: %v, want DeadlineExceeded", i, err)
			}
		}
		if n := s.inbound.limit.InUse(); n != 0 || len(s.transfers) != 0 {
			t.Errorf("%d buffers and %d transfers are left over", n, len(s.transfers))
		}
	})
}

func TestStrangePiecesAreRefused(t *testing.T) {
	good := cutUp(Hash{1}, append(pattern(3*pieceBytes), formPlain), 7)[1]
	for name, spoil := range map[string]func(*pieceRequest){
		"empty block":            func(r *pieceRequest) { r.Size = 0 },
		"block too large":        func(r *pieceRequest) { r.Size = SizeMax + trailer + 1 },
		"before the block":       func(r *pieceRequest) { r.Offset = -pieceBytes },
		"behind the block":       func(r *pieceRequest) { r.Offset = 4 * pieceBytes },
		"between two pieces":     func(r *pieceRequest) { r.Offset++ },
		"too short":              func(r *pieceRequest) { r.Data = r.Data[1:] },
		"a reference in between": func(r *pieceRequest) { r.Ref = &table.Row{} },
		"none at the beginning":  func(r *pieceRequest) { r.Offset = 0 },
	} {
		bad := *good
		spoil(&bad)
		if err := bad.check(); !errors.Is(err, rpc.ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
	if err := good.check(); err != nil {
		t.Errorf("a good piece: %v", err)
	}
	inSim(t, func(ctx context.Context, env *sched.Env) {
		s := bareStore(env, nil)
		short, cancel := env.WithTimeout(ctx, time.Second)
		defer cancel()
		errs := together(short, env, 2, func(ctx context.Context, _ int) error {
			_, err := s.handlePiece(ctx, rt.NodeID{}, good)
			return err
		})
		if !slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, rpc.ErrMalformed) }) {
			t.Errorf("a piece that came twice: %v", errs)
		}
	})
}

// A block that leaves in pieces is read once, and held until all were asked for or a time has passed.
func TestLoans(t *testing.T) {
	inSim(t, func(ctx context.Context, env *sched.Env) {
		stored := append(pattern(4*pieceBytes+5), formPlain)
		d := &shelfDisk{stored: stored}
		s := bareStore(env, d)
		lend := func(i, pieces int) ([]byte, error) {
			resp, err := s.handleLend(ctx, rt.NodeID{9}, &lendRequest{Hash: Hash{1}, Transfer: uint64(pieces),
				Pieces: pieces, Offset: i * pieceBytes})
			if err != nil {
				return nil, err
			}
			if resp.Size != len(stored) {
				t.Errorf("piece %d is of %d bytes, want %d", i, resp.Size, len(stored))
			}
			return resp.Data, nil
		}
		const asked = 7 // two more than there are
		got := make([][]byte, asked)
		for i, err := range together(ctx, env, asked, func(_ context.Context, i int) (err error) {
			got[i], err = lend(i, asked)
			return err
		}) {
			if err != nil {
				t.Errorf("piece %d: %v", i, err)
			}
		}
		if whole := slices.Concat(got...); !slices.Equal(whole, stored) || d.reads != 1 {
			t.Errorf("%d bytes of %d came, in %d readings of the disk", len(whole), len(stored), d.reads)
		}
		if _, err := lend(0, 3); err != nil {
			t.Error(err)
		}
		env.Sleep(ctx, loanMax/2)
		if n := s.serving.limit.InUse(); n != 1 {
			t.Errorf("%d buffers are held for a loan that was begun, want 1", n)
		}
		env.Sleep(ctx, loanMax)
		reads := d.reads
		if _, err := lend(1, 3); !errors.Is(err, ErrNotFound) || d.reads != reads {
			t.Errorf("a piece that is asked for too late: %v, %d readings; want ErrNotFound and none", err,
				d.reads-reads)
		}
		if n := s.serving.limit.InUse(); n != 0 || len(s.loans) != 1 {
			t.Errorf("%d buffers are left over of %d loans that one piece is missing of, want 0 of 1", n,
				len(s.loans))
		}
		if _, err := lend(2, 3); !errors.Is(err, ErrNotFound) {
			t.Errorf("the last piece, too late: %v, want ErrNotFound", err)
		}
		env.Sleep(ctx, time.Millisecond)
		if len(s.loans) != 0 {
			t.Errorf("%d loans are left over after the last piece", len(s.loans))
		}
		d.stored = nil
		if _, err := lend(0, 5); !errors.Is(err, ErrNotFound) {
			t.Errorf("a block that is not here: %v, want ErrNotFound", err)
		}
		env.Sleep(ctx, getTimeout+loanMax)
		if len(s.loans) != 0 {
			t.Errorf("%d loans are left over when nobody can ask any more", len(s.loans))
		}
		for _, bad := range []lendRequest{{Pieces: 0}, {Pieces: 1000}, {Pieces: 1, Offset: 1},
			{Pieces: 1, Offset: -pieceBytes}} {
			if _, err := s.handleLend(ctx, rt.NodeID{}, &bad); !errors.Is(err, rpc.ErrMalformed) {
				t.Errorf("%+v: %v, want ErrMalformed", bad, err)
			}
		}
	})
}

// A node's blocks teach how long they take.
func TestUsual(t *testing.T) {
	inSim(t, func(ctx context.Context, env *sched.Env) {
		s, from := bareStore(env, nil), rt.NodeID{1}
		if _, d := s.came(from); d != 0 {
			t.Errorf("a node that delivered nothing usually takes %v", d)
		}
		for range 50 {
			r, at := s.depart(from)
			env.Sleep(ctx, 100*time.Millisecond)
			s.arrive(r, at, true)
		}
		if _, d := s.came(from); d < 100*time.Millisecond || d > 110*time.Millisecond {
			t.Errorf("after many blocks in 100 ms the usual time is %v", d)
		}
		r, at := s.depart(from)
		env.Sleep(ctx, time.Minute)
		s.arrive(r, at, false)
		if _, d := s.came(from); d > 110*time.Millisecond || r.underWay != 0 {
			t.Errorf("a block that was not delivered counts: %v, %d under way", d, r.underWay)
		}
	})
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}
