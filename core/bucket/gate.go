package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"granary/core/codec"
	"granary/core/rpc"
	"granary/core/table"
)

var kindGate = codec.Register(0x53, 1, "gate row")

// gateState is whether a bucket takes writes. A bucket without a row takes them.
type gateState uint8

const (
	gateOpen gateState = 0
	gateShut gateState = 1 // while it is being found out whether it is empty
	gateGone gateState = 2 // the bucket was deleted
)

// gateRow is stored under a bucket's id, at every node, and checked in the transaction of every write into
// the bucket. The register of the bucket's name decides its changes, and counts them.
type gateRow struct {
	Count uint64    `cbor:"1,keyasint"`
	State gateState `cbor:"2,keyasint,omitempty"`
	Name  string    `cbor:"3,keyasint"`
}

// Join implements crdt.Lattice: the later change.
func (g gateRow) Join(o gateRow) gateRow {
	if g.Count < o.Count || g.Count == o.Count && g.State < o.State {
		return o
	}
	return g
}

// ErrClosed means that a bucket takes no writes, because it is being deleted, or was. It is what replicas
// refuse with; what was refused may be at some of them, and is seen if the bucket opens again.
var ErrClosed = rpc.RegisterError("bucket.closed", errClosed)

var errClosed = &table.Refusal{Code: "bucket-closed", Msg: "the bucket takes no writes: it is being deleted"}

// Admit refuses a coordinator's write into a bucket whose gate is shut at this replica. r reads the
// transaction of the write.
//
// Errors: ErrClosed, those of the store.
func (r *Rows) Admit(reader *table.Reader, b BucketID) error {
	g, _, err := r.gates.Get(reader.Of(table.FullPK()), b[:])
	if err == nil && g.State != gateOpen {
		return errClosed
	}
	return err
}

// errMoved means that the gate was moved by somebody else meanwhile.
var errMoved = errors.New("the bucket is being changed by somebody else")

// moveGate decides a change of a bucket's gate in the register of its name, and returns what was decided. f
// makes the next state, or refuses.
//
// Errors: f's; ErrNoSuchBucket if the name is not the bucket's any more; *quorum.Error.
func (s *Store) moveGate(ctx context.Context, name string, id BucketID,
	f func(now naming) (shut bool, err error)) (decided naming, err error) {
	row, err := local(s, s.rows.buckets, name)
	if err != nil {
		return naming{}, err
	}
	_, err = s.registers.Change(ctx, namePrefix+name, func(value []byte) ([]byte, error) {
		now, err := openNaming(value)
		if err != nil {
			return nil, err
		}
		if value == nil {
			now = naming{Stamp: row.Life.Stamp, Life: row.Life.Value}
		}
		if !now.Life.Live || !bytes.Equal(now.Life.ID, id[:]) {
			return nil, fmt.Errorf("bucket %q: %w", name, ErrNoSuchBucket)
		}
		if now.Shut, err = f(now); err != nil {
			return nil, err
		}
		now.Gate++
		decided = now
		return codec.Seal(kindNaming, 1, now)
	})
	return decided, err
}

// shut closes a bucket's gate, at a write quorum of every partition, and returns the count of the change.
func (s *Store) shut(ctx context.Context, b Bucket) (uint64, error) {
	n, err := s.moveGate(ctx, b.Name, b.ID, func(naming) (bool, error) { return true, nil })
	if err != nil {
		return 0, err
	}
	row, err := s.rows.gates.Row(b.ID[:], gateRow{Count: n.Gate, State: gateShut, Name: b.Name})
	if err != nil {
		return 0, err
	}
	if s.env.Mutant("bucket: no gate") {
		return n.Gate, nil
	}
	return n.Gate, s.tables.Everywhere(ctx, fmt.Sprintf("gate of bucket %q", b.Name), []table.Row{row})
}

// open opens the gate that a change closed, unless somebody has moved it since.
func (s *Store) open(ctx context.Context, name string, id BucketID, count uint64) error {
	n, err := s.moveGate(ctx, name, id, func(now naming) (bool, error) {
		if !now.Shut || now.Gate != count {
			return false, errMoved
		}
		return false, nil
	})
	if errors.Is(err, errMoved) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.setGate(ctx, id, gateRow{Count: n.Gate, State: gateOpen, Name: name})
}

func (s *Store) setGate(ctx context.Context, id BucketID, g gateRow) error {
	row, err := s.rows.gates.Row(id[:], g)
	if err != nil {
		return err
	}
	return s.spread(ctx, "gate of "+g.Name, row)
}

// gateMax is how long a deletion may take before others open the gate that it left shut.
const gateMax = 2 * time.Minute

// shutGate is a gate that a sweep found shut.
type shutGate struct {
	count uint64
	since time.Duration
}

// sweepGates opens gates that were left shut by deletions which did not come to their end, and notes the end
// of those that did.
func (s *Store) sweepGates(ctx context.Context) error {
	var ids []BucketID
	var rows []gateRow
	err := s.tables.Local(table.FullPK(), func(r *table.Reader) error {
		return s.rows.gates.Scan(r, nil, nil, func(id []byte, g gateRow) bool {
			if g.State == gateShut && len(id) == len(BucketID{}) {
				ids, rows = append(ids, BucketID(id)), append(rows, g)
			}
			return len(ids) < sweepMax
		})
	})
	if err != nil {
		return err
	}
	before := s.gates
	s.gates = map[BucketID]shutGate{}
	for i, id := range ids {
		seen := before[id]
		if seen.count != rows[i].Count {
			seen = shutGate{rows[i].Count, s.env.Now()}
		}
		s.gates[id] = seen
		if s.env.Now()-seen.since < gateMax {
			continue
		}
		err := s.open(ctx, rows[i].Name, id, rows[i].Count)
		if errors.Is(err, ErrNoSuchBucket) {
			g := rows[i]
			g.State = gateGone
			err = s.setGate(ctx, id, g)
		}
		if err != nil {
			return fmt.Errorf("gate of bucket %q: %w", rows[i].Name, err)
		}
		s.env.Sometimes("a gate that was left shut was opened", true)
	}
	return nil
}

// Again resolves a bucket's name once more, by a majority, after a write into the bucket was refused with
// ErrClosed.
//
// Errors: ErrNoSuchBucket if the name is not the bucket's any more; *quorum.Error.
func (s *Store) Again(ctx context.Context, b Bucket) error {
	n, err := s.decided(ctx, b.Name)
	if err == nil && (!n.Life.Live || !bytes.Equal(n.Life.ID, b.ID[:])) {
		err = fmt.Errorf("bucket %q: %w", b.Name, ErrNoSuchBucket)
	}
	return err
}
