package bucket

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"granary/core/cors"
	"granary/core/crdt"
	"granary/core/hlc"
	"granary/core/quorum"
	"granary/core/register"
	"granary/core/rt"
	"granary/core/table"
)

const (
	// confirmBurst is how many negative answers may be confirmed at once for requests that have proved
	// nothing yet, those with an unknown key and those of browsers that ask before a page may make one; and
	// confirmEvery the time after which another one may.
	confirmBurst = 20
	confirmEvery = 50 * time.Millisecond
)

// Objects is what deleting a bucket must know of its content.
type Objects interface {
	// Empty reports whether a read quorum knows of no complete object and no upload in the bucket.
	Empty(context.Context, BucketID) (bool, error)
}

// Config is what a Store stands on. All fields are needed.
type Config struct {
	Env       rt.Env
	Tables    *table.Tables
	Rows      *Rows
	Registers *register.Registers
	Clock     *hlc.Clock
	Group     *rt.Group // of the node
}

// Store is one node's view of buckets, keys and grants. Safe for concurrent use.
type Store struct {
	env       rt.Env
	tables    *table.Tables
	rows      *Rows
	registers *register.Registers
	clock     *hlc.Clock
	group     *rt.Group
	ration    *ration
	objects   Objects
	gates     map[BucketID]shutGate // that the last sweep found shut
}

// New returns the node's bucket store.
func New(c Config) *Store {
	tables, rows := c.Tables, c.Rows
	s := &Store{env: c.Env, tables: tables, rows: rows, registers: c.Registers, clock: c.Clock,
		group: c.Group, ration: newRation(c.Env, confirmBurst, confirmEvery)}
	tables.RegisterFetch("bucket", func(r *table.Reader, name []byte) ([]table.Row, error) {
		return one(rows.buckets.GetRow(r, name))
	})
	tables.RegisterFetch("key", func(r *table.Reader, id []byte) ([]table.Row, error) {
		return one(rows.keys.GetRow(r, id))
	})
	return s
}

// SetObjects tells the store how to find out whether a bucket is empty; before the node starts.
func (s *Store) SetObjects(o Objects) { s.objects = o }

func one(row table.Row, ok bool, err error) ([]table.Row, error) {
	if !ok || err != nil {
		return nil, err
	}
	return []table.Row{row}, nil
}

// local reads this node's copy of a row.
func local[T any](s *Store, t *table.Table[T], sort string) (v T, err error) {
	err = s.tables.Local(table.FullPK(), func(r *table.Reader) error {
		v, _, err = t.Get(r, []byte(sort))
		return err
	})
	return v, err
}

// stamped is a row that knows the newest stamp in it.
type stamped interface{ stamp() hlc.Stamp }

// voted reads a row from a quorum of the voters.
func voted[T any](ctx context.Context, s *Store, t *table.Table[T], fetch, sort string) (v T, err error) {
	f, err := s.tables.FetchFull(ctx, fetch, []byte(sort), fmt.Sprintf("%s %q", fetch, sort))
	if err != nil {
		return v, err
	}
	defer f.Close()
	v, _, err = table.Joined(f, t, []byte(sort))
	return v, err
}

// toChange is voted for a row that is to be changed. stamp is later than all in the row, so that the
// change wins, whatever the clocks say.
func toChange[T stamped](ctx context.Context, s *Store, t *table.Table[T], fetch, sort string) (v T,
	stamp hlc.Stamp, err error) {
	if v, err = voted(ctx, s, t, fetch, sort); err == nil {
		stamp, err = s.clock.After(ctx, v.stamp())
	}
	return v, stamp, err
}

// bucketToChange is toChange for a bucket that must be there. Its row may not have reached a quorum yet.
func (s *Store) bucketToChange(ctx context.Context, name string) (bucketRow, hlc.Stamp, error) {
	row, stamp, err := toChange(ctx, s, s.rows.buckets, "bucket", name)
	if _, ok := row.bucket(name); ok || err != nil {
		return row, stamp, err
	}
	decided, err := s.decided(ctx, name)
	if err != nil {
		return row, stamp, err
	}
	row = row.Join(decided.row())
	if _, ok := row.bucket(name); !ok {
		return row, stamp, fmt.Errorf("bucket %q: %w", name, ErrNoSuchBucket)
	}
	stamp, err = s.clock.After(ctx, row.stamp())
	return row, stamp, err
}

// ByName finds a bucket.
//
// Errors: ErrInvalidName, ErrNoSuchBucket once the name's register confirmed it, *quorum.Error.
// Cost: no round trip if this node knows it and its lease lasts (table.Fresh), else one.
func (s *Store) ByName(ctx context.Context, name string) (Bucket, error) {
	return s.find(ctx, name, func() error { return nil })
}

// CORS returns a bucket's rules for the pages of other origins, for a request that has proved nothing: the
// confirmation that there is no such bucket is rationed.
//
// Errors and cost: those of ByName.
func (s *Store) CORS(ctx context.Context, name string) (cors.Rules, error) {
	b, err := s.find(ctx, name, func() error { return s.spend("bucket", name) })
	return b.CORS, err
}

// find is ByName; mayAsk refuses the confirmation.
func (s *Store) find(ctx context.Context, name string, mayAsk func() error) (Bucket, error) {
	if err := CheckName(name); err != nil {
		return Bucket{}, err
	}
	if err := s.tables.Fresh(ctx); err != nil {
		return Bucket{}, fmt.Errorf("bucket %q: %w", name, err)
	}
	row, err := local(s, s.rows.buckets, name)
	if err != nil {
		return Bucket{}, err
	}
	b, ok := row.bucket(name)
	if !ok && !s.env.Mutant("absent bucket not confirmed") {
		if err := mayAsk(); err != nil {
			return Bucket{}, err
		}
		decided, err := s.decided(ctx, name)
		if err != nil {
			return Bucket{}, err
		}
		b, ok = row.Join(decided.row()).bucket(name)
	}
	if !ok {
		return Bucket{}, fmt.Errorf("bucket %q: %w", name, ErrNoSuchBucket)
	}
	return b, nil
}

// Key finds an access key. For an unknown id the confirmation is rationed, since the request has proved
// nothing.
//
// Errors: ErrNoSuchKey, *quorum.Error.
func (s *Store) Key(ctx context.Context, id KeyID) (Key, error) {
	if err := s.tables.Fresh(ctx); err != nil {
		return Key{}, fmt.Errorf("access key %.40q: %w", id, err)
	}
	row, err := local(s, s.rows.keys, string(id))
	if err != nil {
		return Key{}, err
	}
	k, ok := row.key(id)
	if !ok {
		if err := s.spend("access key", string(id)); err != nil {
			return Key{}, err
		}
		if row, err = voted(ctx, s, s.rows.keys, "key", string(id)); err != nil {
			return Key{}, err
		}
		k, ok = row.key(id)
	}
	if !ok {
		return Key{}, fmt.Errorf("access key %.40q: %w", id, ErrNoSuchKey)
	}
	return k, nil
}

// spend takes from the ration of confirmations for those who have proved nothing.
//
// Errors: quorum.ErrUnavailable.
func (s *Store) spend(what, name string) error {
	if s.ration.take() {
		return nil
	}
	s.env.Count("confirmations_refused_total", 1)
	return fmt.Errorf("%s %.40q: %w: too many unknown ones, try again in a second", what, name,
		quorum.ErrUnavailable)
}

// Create makes a bucket that belongs to owner, with all permissions for it, and an id of its own: what a
// former bucket of the name held is not in it. Rounds: 2.
//
// Errors: ErrInvalidName; ErrBucketOwned, with the bucket, and ErrBucketExists if it exists;
// *quorum.Error, which is quorum.ErrUnknown if the bucket may have been made.
func (s *Store) Create(ctx context.Context, name string, owner KeyID) (Bucket, error) {
	if err := CheckName(name); err != nil {
		return Bucket{}, err
	}
	id := s.env.Secret(len(BucketID{}))
	n, err := s.rename(ctx, name, func(n naming) (bucketLife, error) {
		now := n.Life
		switch {
		case now.Live && bytes.Equal(now.ID, id):
			return now, nil // an attempt that was cut short got through
		case now.Live && now.Owner == owner:
			return now, fmt.Errorf("bucket %q: %w", name, ErrBucketOwned)
		case now.Live:
			return now, fmt.Errorf("bucket %q: %w", name, ErrBucketExists)
		}
		return bucketLife{Live: true, ID: id, Owner: owner}, nil
	})
	b, _ := n.row().bucket(name)
	return b, err
}

func allOf(stamp hlc.Stamp) crdt.LWW[uint8] {
	return crdt.LWW[uint8]{Stamp: stamp, Value: grantRead | grantWrite | grantOwner}
}

// Delete removes an empty bucket. It shuts the bucket's gate before it looks whether it is empty, so that no
// write slips in between; if it is not, the gate is opened again.
//
// Errors: ErrBucketNotEmpty; ErrNoSuchBucket, also if the name is another bucket's by now; *quorum.Error,
// after which the bucket may take no writes for some minutes, and may be gone if it is quorum.ErrUnknown.
func (s *Store) Delete(ctx context.Context, b Bucket) error {
	count, err := s.shut(ctx, b)
	if errors.Is(err, ErrNoSuchBucket) {
		return err
	}
	empty := false
	if err == nil {
		empty, err = s.objects.Empty(ctx, b.ID)
	}
	if err == nil && !empty {
		err = fmt.Errorf("bucket %q: %w", b.Name, ErrBucketNotEmpty)
	}
	if err != nil {
		if count == 0 {
			return err // whether it was shut is not known: the sweep finds it
		}
		s.reopen(ctx, b, count)
		return err
	}
	_, err = s.rename(ctx, b.Name, func(now naming) (bucketLife, error) {
		switch {
		case !now.Life.Live || !bytes.Equal(now.Life.ID, b.ID[:]):
			return now.Life, fmt.Errorf("bucket %q: %w", b.Name, ErrNoSuchBucket)
		case !now.Shut || now.Gate != count:
			return now.Life, fmt.Errorf("bucket %q: %w: %w", b.Name, quorum.ErrUnavailable, errMoved)
		}
		return bucketLife{}, nil
	})
	if err != nil {
		return err
	}
	s.group.Go("note deleted bucket", func(ctx context.Context) error {
		if err := s.setGate(ctx, b.ID, gateRow{Count: count, State: gateGone, Name: b.Name}); err != nil {
			s.env.Debug("the end of a bucket is not noted yet", "bucket", b.Name, "err", err)
		}
		return nil
	})
	return nil
}

// reopen opens the gate of a bucket that cannot be deleted. Should that fail, the sweep does it.
func (s *Store) reopen(ctx context.Context, b Bucket, count uint64) {
	if err := s.open(ctx, b.Name, b.ID, count); err != nil {
		s.env.Warn("the gate of a bucket that was not deleted stays shut for some minutes", "bucket", b.Name,
			"err", err)
	}
}

// Change changes what a key may do in a bucket, from what a quorum of the voters knows of it, and returns
// the bucket as it then is; a Grant left without permissions is taken away. Of two changes at once for one
// key, one wins. Rounds: 2.
//
// Errors: ErrNoSuchBucket, *quorum.Error.
func (s *Store) Change(ctx context.Context, name string, key KeyID, change func(*Grant)) (Bucket, error) {
	row, stamp, err := s.bucketToChange(ctx, name)
	if err != nil {
		return Bucket{}, err
	}
	b, _ := row.bucket(name)
	g, _ := b.Grant(key)
	change(&g)
	delta := bucketRow{Life: row.Life, Grants: crdt.Map[KeyID, crdt.LWW[uint8]]{}.With(key,
		crdt.LWW[uint8]{Stamp: stamp, Value: g.bits()})}
	if err := write(ctx, s, s.rows.buckets, name, delta); err != nil {
		return Bucket{}, err
	}
	b, _ = row.Join(delta).bucket(name)
	return b, nil
}

// SetCORS replaces a bucket's rules for the pages of other origins; none takes them away. Of two changes at
// once one wins. Rounds: 2.
//
// Errors: cors.ErrInvalid; ErrNoSuchBucket, also if the name is another bucket's by now; *quorum.Error.
func (s *Store) SetCORS(ctx context.Context, b Bucket, rules cors.Rules) error {
	if len(rules) > 0 {
		if err := rules.Check(); err != nil {
			return err
		}
	}
	return s.adjust(ctx, b, func(delta *bucketRow, stamp hlc.Stamp) {
		delta.CORS = crdt.LWW[cors.Rules]{Stamp: stamp, Value: rules}
	})
}

// SetConsistency sets the level of requests to a bucket's objects that name none. Of two changes at once one
// wins. Rounds: 2.
//
// Errors: ErrNoSuchBucket, also if the name is another bucket's by now; *quorum.Error.
func (s *Store) SetConsistency(ctx context.Context, b Bucket, level table.Consistency) error {
	return s.adjust(ctx, b, func(delta *bucketRow, stamp hlc.Stamp) {
		delta.Level = crdt.LWW[table.Consistency]{Stamp: stamp, Value: level}
	})
}

// adjust writes what set puts into a bucket's row.
func (s *Store) adjust(ctx context.Context, b Bucket, set func(*bucketRow, hlc.Stamp)) error {
	row, stamp, err := s.bucketToChange(ctx, b.Name)
	if err != nil {
		return err
	}
	if !bytes.Equal(row.Life.Value.ID, b.ID[:]) {
		return fmt.Errorf("bucket %q: %w", b.Name, ErrNoSuchBucket)
	}
	delta := bucketRow{Life: row.Life}
	set(&delta, stamp)
	return write(ctx, s, s.rows.buckets, b.Name, delta)
}

// CreateKey makes a new access key with a random id and secret.
func (s *Store) CreateKey(ctx context.Context, name string, createBuckets bool) (Key, error) {
	id := KeyID("GK" + hex.EncodeToString(s.env.Secret(12)))
	secret := base64.RawURLEncoding.EncodeToString(s.env.Secret(30))
	return s.PutKey(ctx, Key{ID: id, Secret: secret, Name: name, CreateBuckets: createBuckets})
}

// PutKey writes an access key as given, for an import and for keys that were agreed on beforehand.
//
// Errors: ErrInvalidKey, *quorum.Error.
func (s *Store) PutKey(ctx context.Context, k Key) (Key, error) {
	if err := k.Validate(); err != nil {
		return k, err
	}
	_, stamp, err := toChange(ctx, s, s.rows.keys, "key", string(k.ID))
	if err != nil {
		return k, err
	}
	if k.Created.IsZero() {
		k.Created = stamp.Time()
	}
	state := keyState{Live: true, Secret: k.Secret, Name: k.Name, CreateBuckets: k.CreateBuckets,
		Created: k.Created.UnixMilli()}
	row := keyRow{State: crdt.LWW[keyState]{Stamp: stamp, Value: state}}
	return k, write(ctx, s, s.rows.keys, string(k.ID), row)
}

// DeleteKey revokes an access key. No node honours it for longer than table.LeaseFor after that.
//
// Errors: ErrNoSuchKey, *quorum.Error.
func (s *Store) DeleteKey(ctx context.Context, id KeyID) error {
	row, stamp, err := toChange(ctx, s, s.rows.keys, "key", string(id))
	if err != nil {
		return err
	}
	if _, ok := row.key(id); !ok {
		return fmt.Errorf("access key %.40q: %w", id, ErrNoSuchKey)
	}
	return write(ctx, s, s.rows.keys, string(id), keyRow{State: crdt.LWW[keyState]{Stamp: stamp}})
}

// Keys lists the access keys this node knows, ordered by id.
func (s *Store) Keys() (keys []Key, err error) {
	err = s.tables.Local(table.FullPK(), func(r *table.Reader) error {
		return s.rows.keys.Scan(r, nil, nil, func(id []byte, row keyRow) bool {
			if k, ok := row.key(KeyID(id)); ok {
				keys = append(keys, k)
			}
			return true
		})
	})
	return keys, err
}

// All lists the buckets this node knows, ordered by name.
func (s *Store) All() (buckets []Bucket, err error) {
	err = s.tables.Local(table.FullPK(), func(r *table.Reader) error {
		return s.rows.buckets.Scan(r, nil, nil, func(name []byte, row bucketRow) bool {
			if b, ok := row.bucket(string(name)); ok {
				buckets = append(buckets, b)
			}
			return true
		})
	})
	return buckets, err
}

// Visible lists the buckets in which a key may do anything.
//
// Errors: *quorum.Error. Cost: no round trip while the lease of this node's rows lasts (table.Fresh).
func (s *Store) Visible(ctx context.Context, id KeyID) ([]Bucket, error) {
	if err := s.tables.Fresh(ctx); err != nil {
		return nil, fmt.Errorf("list of buckets: %w", err)
	}
	all, err := s.All()
	if err != nil {
		return nil, err
	}
	var visible []Bucket
	for _, b := range all {
		if _, ok := b.Grant(id); ok {
			visible = append(visible, b)
		}
	}
	return visible, nil
}

// Grant returns what a key may do in the bucket; ok is false if that is nothing.
func (b Bucket) Grant(id KeyID) (g Grant, ok bool) {
	for _, g := range b.Grants {
		if g.Key == id {
			return g, true
		}
	}
	return Grant{Key: id}, false
}

func write[T any](ctx context.Context, s *Store, t *table.Table[T], sort string, v T) error {
	row, err := t.Row([]byte(sort), v)
	if err != nil {
		return err
	}
	if err := s.spread(ctx, sort, row); err != nil {
		return err
	}
	// Whoever asks this node next sees the change, also if others made up the majority.
	return s.tables.Apply(ctx, table.FullPK(), []table.Row{row})
}

// spread writes a row to a quorum of the voters, and sends it to everybody.
func (s *Store) spread(ctx context.Context, subject string, row table.Row) error {
	_, err := s.tables.WriteOne(ctx, table.Write{Subject: fmt.Sprintf("%q", subject), PK: table.FullPK(),
		Full: true, Items: []table.Item{{With: []table.Row{row}}}})
	return err
}
