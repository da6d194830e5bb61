package object

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"granary/core/block"
	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/hlc"
	"granary/core/job"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

// Topology is what objects need to know of the cluster.
type Topology interface {
	View(layout.Prefix) (cluster.View, error)
	Describe(rt.NodeID) string
}

// Config is what a node's object store is made of. All fields are needed but for the last two.
type Config struct {
	Env      rt.Env
	Tables   *table.Tables
	Rows     *Rows
	Blocks   *block.Store
	Clock    *hlc.Clock
	Topology Topology
	Endpoint *rpc.Endpoint
	Group    *rt.Group // of the node
	Jobs     *job.Book
	// Reclaim says when space is freed; nil: DefaultReclaim.
	Reclaim *Reclaim
	// BlockSize is the size of the blocks that new objects are cut into, in bytes, at most block.SizeMax; 0
	// means that.
	BlockSize int64
}

// Store is one node's way to the objects of the cluster. Safe for concurrent use.
type Store struct {
	env    rt.Env
	tables *table.Tables
	rows   *Rows
	blocks *block.Store
	clock  *hlc.Clock
	group  *rt.Group
	copies *rt.Semaphore

	topology Topology
	endpoint *rpc.Endpoint
	reclaim  Reclaim
	reclaims *reclaimer
	audits   *auditor

	blockSize int64
}

// copiesMax is how many copies pass content through a node at once. They hold memory for reading while they
// wait for memory for writing, and the other way round; being few, they cannot use up either.
const copiesMax = 8

// New returns a node's object store and registers what its replicas answer.
func New(c Config) *Store {
	s := &Store{env: c.Env, tables: c.Tables, rows: c.Rows, blocks: c.Blocks, clock: c.Clock, group: c.Group,
		copies: rt.NewSemaphore(c.Env, copiesMax), blockSize: c.BlockSize}
	if s.blockSize == 0 {
		s.blockSize = block.SizeMax
	}
	s.topology, s.endpoint, s.reclaim = c.Topology, c.Endpoint, DefaultReclaim()
	if c.Reclaim != nil {
		s.reclaim = *c.Reclaim
	}
	s.reclaims, s.audits = newReclaimer(s, c.Jobs), newAuditor(s, c.Jobs)
	rpc.Handle(c.Endpoint, methodInquire, s.handleInquire)
	rpc.Handle(c.Endpoint, methodUses, s.handleUses)
	c.Tables.RegisterFetch(fetchObject, s.fetchObject)
	c.Tables.RegisterFetch(fetchSegment, s.fetchSegment)
	c.Tables.RegisterFetch(fetchUpload, s.fetchUpload)
	c.Tables.RegisterFetch(fetchParts, s.fetchParts)
	c.Tables.PruneFetch(fetchObject, s.pruneObject)
	// A block list must not come to a replica without what owns it, which might be gone there.
	c.Tables.PruneFetch(fetchSegment, func(f *table.Fetched) {
		table.Prune(f, s.rows.lists, func([]byte) bool { return false })
	})
	return s
}

// Start begins the background work: freeing space.
func (s *Store) Start() {
	s.group.Go(ReclaimJob, s.reclaims.run)
	s.group.Go(AuditJob, s.audits.run)
}

// CheckKey says whether k may name an object.
//
// Errors: ErrBadKey.
func CheckKey(k Key) error {
	if len(k) == 0 || len(k) > KeyMax {
		return fmt.Errorf("object key of %d bytes: %w: want 1 to %d", len(k), ErrBadKey, KeyMax)
	}
	if !utf8.ValidString(string(k)) {
		return fmt.Errorf("object key %.80q: %w: not UTF-8", string(k), ErrBadKey)
	}
	return nil
}

func (s *Store) newID() (id [16]byte) {
	r := s.env.Rand("object/id")
	a, b := r.Uint64(), r.Uint64()
	for i := range 8 {
		id[i], id[8+i] = byte(a>>(8*i)), byte(b>>(8*i))
	}
	return id
}

// commit writes a version of an object, with rows that belong to it, as one row batch: the last step of every
// write.
func (s *Store) commit(ctx context.Context, b bucket.BucketID, k Key, v version, with []table.Row,
	ahead *table.Ahead) (Info, error) {
	info, err := s.commitWith(ctx, b, k, v, with, ahead,
		func(version) ([]table.Row, error) { return nil, nil })
	return info, doubted("object "+quote(k), err)
}

// commitWith is commit with rows that depend on the stamped version.
func (s *Store) commitWith(ctx context.Context, b bucket.BucketID, k Key, v version, with []table.Row,
	ahead *table.Ahead, also func(version) ([]table.Row, error)) (Info, error) {
	stamp, err := s.tables.WriteOne(ctx, table.Write{Subject: "object " + quote(k), PK: b[:],
		Ahead: ahead, Items: []table.Item{{With: with, Voted: func(stamp hlc.Stamp) ([]table.Row, error) {
			stamped := v
			stamped.Stamp = stamp
			rows, err := also(stamped)
			if err != nil {
				return nil, err
			}
			row, err := s.rows.objects.Row([]byte(k), objectRow{Winner: stamped})
			return append(rows, row), err
		}}}})
	v.Stamp = stamp
	return v.info(k), err
}

// doubted is the error of a commit that some replicas refused because they had sealed it: others may have it.
// Uploads tell their own story.
func doubted(subject string, err error) error {
	var r *table.Refusal
	if errors.As(err, &r) && r.Code == refusedSealed {
		return &quorum.Error{Op: "write", Subject: subject, Unknown: true,
			Causes: []quorum.Cause{{Node: "a replica", Err: r}}}
	}
	return err
}

// save writes unvoted rows of a bucket as one batch.
func (s *Store) save(ctx context.Context, b bucket.BucketID, subject string, rows ...table.Row) error {
	_, err := s.tables.WriteOne(ctx, table.Write{Subject: subject, PK: b[:],
		Items: []table.Item{{With: rows}}})
	return err
}

// Delete writes a deletion marker: 1 round, whether there is an object or not.
//
// Errors: ErrBadKey, *quorum.Error.
func (s *Store) Delete(ctx context.Context, b bucket.BucketID, k Key) error {
	return s.DeleteMany(ctx, b, []Key{k})[0]
}

// DeleteMany writes deletion markers for up to DeleteMax keys of a bucket in 1 round, and returns one error
// for each key; a key named twice is deleted once.
func (s *Store) DeleteMany(ctx context.Context, b bucket.BucketID, keys []Key) []error {
	errs := make([]error, len(keys))
	w := table.Write{PK: b[:]}
	item := make(map[Key]int, len(keys)) // which item of the write deletes the key
	for i, k := range keys {
		if errs[i] = CheckKey(k); errs[i] != nil {
			continue
		}
		if _, seen := item[k]; seen {
			continue
		}
		item[k] = len(w.Items)
		id := VersionID(s.newID())
		w.Items = append(w.Items, table.Item{Voted: func(stamp hlc.Stamp) ([]table.Row, error) {
			row, err := s.rows.objects.Row([]byte(k),
				objectRow{Winner: version{ID: id, Stamp: stamp, State: marker}})
			return []table.Row{row}, err
		}})
	}
	if len(w.Items) == 0 {
		return errs
	}
	w.Subject = fmt.Sprintf("deletion of %s", quote(keys[0]))
	if len(w.Items) > 1 {
		w.Subject = fmt.Sprintf("deletion of %d objects", len(w.Items))
	}
	results := s.tables.Write(ctx, w)
	for i, k := range keys {
		if n, ok := item[k]; ok {
			errs[i] = results[n].Err
		}
	}
	return errs
}
