package bucket

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"granary/core/codec"
	"granary/core/crdt"
	"granary/core/hlc"
	"granary/core/quorum"
	"granary/core/table"
)

const (
	// namePrefix begins the keys of the registers of names.
	namePrefix = "bucket/"
	// sweepEvery is the mean time between two looks for names that were decided and not published.
	sweepEvery = time.Minute
	// sweepMax bounds the names that one look publishes.
	sweepMax = 100
)

var kindNaming = codec.Register(0x52, 1, "bucket name")

// naming is what the register of a name holds: the last creation or deletion. Zero: there was none.
type naming struct {
	Stamp hlc.Stamp  `cbor:"1,keyasint"`
	Life  bucketLife `cbor:"2,keyasint"`
}

// row is the naming as a bucket row. A creation gives its owner all permissions.
func (n naming) row() bucketRow {
	row := bucketRow{Life: crdt.LWW[bucketLife]{Stamp: n.Stamp, Value: n.Life}}
	if n.Life.Live {
		row.Grants = row.Grants.With(n.Life.Owner, allOf(n.Stamp))
	}
	return row
}

func (n naming) equal(o naming) bool {
	a, b := n.Life, o.Life
	return n.Stamp == o.Stamp && a.Live == b.Live && bytes.Equal(a.ID, b.ID) && a.Owner == b.Owner &&
		a.Created == b.Created
}

func openNaming(value []byte) (naming, error) {
	if value == nil {
		return naming{}, nil
	}
	return codec.Load[naming](value, kindNaming)
}

// errEarly means that a name was changed at a stamp that the present change would not exceed.
var errEarly = errors.New("stamped too early")

// rename changes who has a name, and publishes what was decided. f makes the new life of the present one, or
// refuses; a life that it returns unchanged stays. The naming is what is decided, also where f refuses.
func (s *Store) rename(ctx context.Context, name string,
	f func(now bucketLife) (bucketLife, error)) (decided naming, err error) {
	row, err := local(s, s.rows.buckets, name)
	if err != nil {
		return naming{}, err
	}
	before := naming{row.Life.Stamp, row.Life.Value} // counts if the register was never set
	decided = before
	for refused := false; ; {
		stamp, err := s.clock.After(ctx, decided.Stamp)
		if err != nil {
			return naming{}, err
		}
		_, err = s.registers.Change(ctx, namePrefix+name, func(value []byte) ([]byte, error) {
			now, err := openNaming(value)
			if value == nil {
				now = before
			}
			decided = now
			if err != nil {
				return nil, err
			}
			life, err := f(now.Life)
			next := naming{now.Stamp, life}
			refused = err != nil
			switch {
			case refused:
				return nil, err
			case next.equal(now):
				return value, nil
			case now.Stamp >= stamp:
				return nil, errEarly
			}
			next.Stamp = stamp
			if life.Live {
				next.Life.Created = ms(stamp)
			}
			decided = next
			return codec.Seal(kindNaming, 1, next)
		})
		if errors.Is(err, errEarly) {
			continue
		}
		if err == nil || refused && !errors.Is(err, quorum.ErrUnavailable) {
			err = cmp.Or(err, s.publish(ctx, name, decided))
		}
		return decided, err
	}
}

// decided returns the naming that the register of a name holds, and publishes it if this node did not know.
func (s *Store) decided(ctx context.Context, name string) (naming, error) {
	value, err := s.registers.Read(ctx, namePrefix+name)
	if err != nil {
		return naming{}, err
	}
	n, err := openNaming(value)
	if err != nil || n.Stamp == 0 {
		return naming{}, err
	}
	return n, s.publish(ctx, name, n)
}

// publish makes a decided naming known: here before it returns, to everybody in the background. Should
// that come to nothing, those who accepted it find it when they sweep.
func (s *Store) publish(ctx context.Context, name string, n naming) error {
	known, err := local(s, s.rows.buckets, name)
	if err != nil || known.Life.Stamp >= n.Stamp {
		return err
	}
	row, err := s.rows.buckets.Row([]byte(name), n.row())
	if err != nil {
		return err
	}
	if err := s.tables.Apply(ctx, table.FullPK(), []table.Row{row}); err != nil {
		return err
	}
	s.group.Go("publish bucket", func(ctx context.Context) error {
		if err := s.spread(ctx, name, row); err != nil {
			s.env.Debug("a bucket's name is not published yet", "bucket", name, "err", err)
		}
		return nil
	})
	return nil
}

// Start begins the background work: publishing names whose deciders stopped before they could.
func (s *Store) Start() {
	s.group.Keep("sweep names", func(ctx context.Context) error {
		for {
			half := int64(sweepEvery / 2)
			pause := time.Duration(half + s.env.Rand("bucket/sweep").Int64N(2*half))
			if s.env.Sleep(ctx, pause) != nil {
				return nil
			}
			if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
				s.env.Warn("names of buckets could not be published", "err", err)
			}
		}
	})
}

// sweep publishes names that this node accepted and does not know of.
func (s *Store) sweep(ctx context.Context) error {
	accepted := map[string]naming{}
	var names []string
	err := s.registers.Accepted(namePrefix, func(key string, value []byte) bool {
		n, err := openNaming(value)
		if err == nil {
			name := strings.TrimPrefix(key, namePrefix)
			names, accepted[name] = append(names, name), n
		}
		return true
	})
	if err != nil {
		return err
	}
	published := 0
	for _, name := range names {
		known, err := local(s, s.rows.buckets, name)
		if err != nil {
			return err
		}
		if known.Life.Stamp >= accepted[name].Stamp {
			continue
		}
		if _, err := s.decided(ctx, name); err != nil {
			return fmt.Errorf("bucket %q: %w", name, err)
		}
		if published++; published == sweepMax {
			return nil
		}
	}
	return nil
}
