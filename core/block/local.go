package block

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"granary/core/cluster"
	"granary/core/kv"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

// keyPresent begins the local keys that say which blocks are durable here; the value is the stored size.
var keyPresent = []byte("\x02block/present/")

func presentKey(h Hash) []byte { return append(append([]byte(nil), keyPresent...), h[:]...) }

// ErrNeedBody means that a replica asked for a reference does not hold the block.
var ErrNeedBody = rpc.RegisterError("block.need_body", errors.New("the block is not here"))

// hashLock serialises what happens to one hash.
type hashLock struct {
	mutex *rt.Mutex
	users int
}

// withHash runs f while nothing else happens to h on this node.
func (s *Store) withHash(ctx context.Context, h Hash, f func() error) error {
	s.lock.Lock()
	l := s.hashes[h]
	if l == nil {
		l = &hashLock{mutex: rt.NewMutex(s.env)}
		s.hashes[h] = l
	}
	l.users++
	s.lock.Unlock()
	defer func() {
		s.lock.Lock()
		defer s.lock.Unlock()
		if l.users--; l.users == 0 {
			delete(s.hashes, h)
		}
	}()
	if err := l.mutex.Lock(ctx); err != nil {
		return err
	}
	defer l.mutex.Unlock()
	return f()
}

func sizeRecord(size int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(size)) }

func sizeOf(record []byte) int64 { return int64(binary.BigEndian.Uint64(record)) }

func (s *Store) present(h Hash) (ok bool, err error) {
	key := presentKey(h)
	err = s.kv.View(func(r kv.Reader) error { ok = r.Get(key) != nil; return nil })
	return ok, err
}

// keep makes the stored form of a block, already verified, and its reference durable here. What was planned
// with an old layout is refused before anything is written, and once more with the reference.
func (s *Store) keep(ctx context.Context, h Hash, stored []byte, ref table.Row, p cluster.Plan) error {
	err := s.withHash(ctx, h, func() error {
		err := s.kv.View(func(r kv.Reader) error { _, err := cluster.AdmitWrite(s.env, r, p); return err })
		if err != nil {
			return err
		}
		have, err := s.intact(ctx, h)
		if err != nil {
			return err
		}
		if have {
			s.env.Sometimes("second copy of a block skipped", true)
			return s.record(ctx, h, -1, ref, p)
		}
		if err := s.disk.Write(ctx, h, stored); err != nil {
			return fmt.Errorf("store block %v: %w", h, err)
		}
		err = s.record(ctx, h, len(stored), ref, p)
		if errors.Is(err, ErrGivenUp) || errors.Is(err, cluster.ErrOldLayout) {
			// nothing was recorded, so nothing may be left
			err = errors.Join(err, s.discard(ctx, h))
		}
		return err
	})
	if err != nil {
		s.arrived(h, err)
	}
	return err
}

// discard removes the file of a block unless it is known here. Under the hash's mutex.
func (s *Store) discard(ctx context.Context, h Hash) error {
	if here, err := s.present(h); err != nil || here {
		return err
	}
	return s.disk.Remove(ctx, h)
}

// refer makes a reference durable here if the block is here, whole; else ErrNeedBody.
func (s *Store) refer(ctx context.Context, h Hash, ref table.Row, p cluster.Plan) error {
	return s.withHash(ctx, h, func() error {
		have, err := s.intact(ctx, h)
		if err != nil {
			return err
		}
		if !have && !s.env.Mutant("block: reference without body acknowledged") {
			return fmt.Errorf("block %v: %w", h, ErrNeedBody)
		}
		return s.record(ctx, h, -1, ref, p)
	})
}

// record commits presence, unless size is negative, and the reference. Presence comes first, so that the
// reference finds the block here.
//
// Errors: ErrGivenUp, cluster.ErrOldLayout.
func (s *Store) record(ctx context.Context, h Hash, size int, ref table.Row, p cluster.Plan) error {
	was := false
	err := s.kv.Update(ctx, func(w kv.Writer) error {
		if _, err := cluster.AdmitWrite(s.env, w, p); err != nil {
			return err
		}
		rows := []table.Row{ref}
		if size >= 0 {
			w.Put(presentKey(h), sizeRecord(size))
			var why reason
			if was, why = unwant(w, h); why == reasonGivenUp {
				found, err := s.rows.foundRows(w, h)
				if err != nil {
					return err
				}
				rows = append(found, ref)
			}
		}
		return s.tables.ApplyIn(w, h[:], rows)
	})
	if err == nil {
		s.arrived(h, nil)
		if was {
			s.resync.left()
		}
	}
	if refusal := (*table.Refusal)(nil); errors.As(err, &refusal) && refusal.Code == RefDeleted {
		return fmt.Errorf("block %v: %w", h, ErrGivenUp)
	}
	return err
}

// intact reports whether the block is here, known to be durable, and its bytes verify.
func (s *Store) intact(ctx context.Context, h Hash) (bool, error) {
	here, err := s.present(h)
	if err != nil || !here && !s.env.Mutant("block: a file is there, so it is durable") {
		return false, err
	}
	buf, err := s.checking.take(ctx)
	if err != nil {
		return false, err
	}
	defer buf.Release()
	stored, err := s.disk.Read(ctx, h, buf.Data[:0])
	if err == nil {
		err = s.former.verify(ctx, stored, h)
	}
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrDisk):
		s.env.Warn("a stored block is damaged and will be written anew", "block", h, "err", err)
		s.env.Count("block_damaged_total", 1)
		s.env.Sometimes("stored block found damaged before a write", true)
		return false, nil
	}
	return false, err
}
