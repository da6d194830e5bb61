package object

import (
	"context"
	"errors"
	"fmt"

	"granary/core/block"
	"granary/core/bucket"
	"granary/core/codec"
	"granary/core/quorum"
	"granary/core/table"
)

// What a read asks of the replicas.
const (
	fetchObject  = "object"
	fetchSegment = "block list"
)

// objectArgs are the arguments of fetchObject.
type objectArgs struct {
	Key    []byte `cbor:"1,keyasint"`
	Data   bool   `cbor:"2,keyasint,omitempty"` // content will be read, from Offset or of Part
	Offset int64  `cbor:"3,keyasint,omitempty"`
	Part   int    `cbor:"4,keyasint,omitempty"`
}

// fetchObject returns an object's row and, if its content is wanted, the payload or the segment of the block
// list that the content begins in.
func (s *Store) fetchObject(r *table.Reader, raw []byte) ([]table.Row, error) {
	var args objectArgs
	if err := codec.Unmarshal(raw, &args); err != nil {
		return nil, err
	}
	row, ok, err := s.rows.objects.GetRow(r, args.Key)
	if !ok || err != nil {
		return nil, err
	}
	rows := []table.Row{row}
	if !args.Data {
		return rows, nil
	}
	o, err := s.rows.objects.Decode(row.Value)
	if err != nil {
		return nil, err
	}
	v := o.Winner
	switch at, ok := v.locate(v.begin(GetOptions{Offset: args.Offset, Part: args.Part})); {
	case !v.exists():
	case v.Inline:
		return appendRow(rows, s.rows.payloads, r, garbageSort(args.Key, v.ID))
	case ok && !v.inHead(at):
		return appendRow(rows, s.rows.lists, r, listSort(args.Key, at.owner, at.block/segmentBlocks))
	}
	return rows, nil
}

// pruneObject keeps the content of versions that lost from being sent to replicas.
func (s *Store) pruneObject(f *table.Fetched) {
	rows, versions, err := table.JoinedAll(f, s.rows.objects)
	if err != nil || len(rows) != 1 {
		return
	}
	v := versions[0].Winner
	owners := map[block.Owner]bool{}
	for _, p := range v.parts() {
		owners[p.Owner] = true
	}
	table.Prune(f, s.rows.payloads, func(sort []byte) bool {
		_, id, ok := splitGarbage(sort)
		return ok && v.Inline && id == v.ID
	})
	table.Prune(f, s.rows.lists, func(sort []byte) bool {
		owner, ok := ownerOf(sort)
		return ok && owners[owner]
	})
}

func appendRow[T any](rows []table.Row, t *table.Table[T], r *table.Reader, sort []byte) ([]table.Row,
	error) {
	row, ok, err := t.GetRow(r, sort)
	if ok {
		rows = append(rows, row)
	}
	return rows, err
}

// fetchSegment returns one segment of a block list; its argument is the row's sort key.
func (s *Store) fetchSegment(r *table.Reader, sort []byte) ([]table.Row, error) {
	return appendRow(nil, s.rows.lists, r, sort)
}

// place is a byte of an object's content: where its block is listed, and where it lies in the block.
type place struct {
	owner  block.Owner
	block  int   // among the owner's
	within int64 // byte of the block
	size   int64 // of the block, unless it is the owner's last
	left   int64 // bytes of the owner's content from here on
}

// bytes is the size of the block at a place.
func (at place) bytes() int64 { return min(at.size, at.within+at.left) }

// begin returns the first byte that o asks for, -1 for an offset outside the object.
func (v version) begin(o GetOptions) int64 {
	if o.Part > 0 {
		off, _, err := v.partRange(o.Part)
		if err != nil {
			return -1
		}
		return off
	}
	if o.Offset < 0 {
		return max(0, v.Size+o.Offset)
	}
	return o.Offset
}

// locate finds a byte of the content; ok is false outside of it, and for inline content.
func (v version) locate(off int64) (at place, ok bool) {
	if off < 0 || off >= v.Size || v.Inline {
		return at, false
	}
	for _, p := range v.parts() {
		if size := v.blockSize(p); off < p.Size && size > 0 {
			return place{owner: p.Owner, block: int(off / size), within: off % size, size: size,
				left: p.Size - off}, true
		}
		off -= p.Size
	}
	return at, false
}

// inHead reports whether the hash of the block at a place is in the object's own row.
func (v version) inHead(at place) bool {
	return len(v.Parts) == 0 && (at.block+1)*hashLen <= len(v.Blocks)
}

// hash is that of the block at a place in the object's own row.
func (v version) hash(at place) block.Hash {
	return block.Hash(v.Blocks[at.block*hashLen : (at.block+1)*hashLen])
}

func (v version) partRange(n int) (off, length int64, err error) {
	for i, p := range v.parts() {
		if i+1 == n && !v.Multipart || p.Number == n && v.Multipart {
			return off, p.Size, nil
		}
		off += p.Size
	}
	return 0, 0, fmt.Errorf("part %d: %w", n, ErrInvalidPart)
}

// Object is an object found for reading. It belongs to one task, which closes it.
type Object struct {
	s       *Store
	ctx     context.Context
	cancel  context.CancelFunc
	bucket  bucket.BucketID
	key     Key
	version version
	payload []byte
	known   []knownSegment
	guess   *guess
}

// Info describes the object.
func (o *Object) Info() Info { return o.version.info(o.key) }

// PartRange returns where part n of the object begins and how long it is. A plain object has one part.
//
// Errors: ErrInvalidPart.
func (o *Object) PartRange(n int) (off, length int64, err error) { return o.version.partRange(n) }

// Head describes an object: 1 round.
//
// Errors: ErrNoSuchKey, ErrBadKey, *quorum.Error.
func (s *Store) Head(ctx context.Context, b bucket.BucketID, k Key) (Info, error) {
	v, f, err := s.find(ctx, b, k, objectArgs{Key: []byte(k)})
	if err != nil {
		return Info{}, err
	}
	f.Close()
	return v.info(k), nil
}

// Get finds an object for reading, together with what the first bytes asked for by opts need: 1 round. The
// first block is fetched while the replicas are being asked, if it is near, and is used if they agree on it.
//
// Errors: as Head.
func (s *Store) Get(ctx context.Context, b bucket.BucketID, k Key, opts GetOptions) (*Object, error) {
	return s.get(ctx, b, k, opts, true)
}

// get is Get that fetches no block ahead of the answers unless eager.
func (s *Store) get(ctx context.Context, b bucket.BucketID, k Key, opts GetOptions, eager bool) (*Object,
	error) {
	o := &Object{s: s, bucket: b, key: k}
	o.ctx, o.cancel = s.env.WithCancel(ctx)
	if eager {
		o.guess = s.speculate(o.ctx, b, k, opts)
	}
	v, f, err := s.find(ctx, b, k, objectArgs{Key: []byte(k), Data: true, Offset: opts.Offset,
		Part: opts.Part})
	if err != nil {
		o.Close()
		return nil, err
	}
	defer f.Close()
	o.version = v
	if err := o.take(ctx, f, opts); err != nil {
		o.Close()
		return nil, err
	}
	return o, nil
}

// find reads an object's row at a quorum. The caller closes what was fetched.
func (s *Store) find(ctx context.Context, b bucket.BucketID, k Key, args objectArgs) (version, *table.Fetched,
	error) {
	if err := CheckKey(k); err != nil {
		return version{}, nil, err
	}
	// A monotonic read may have to bring the object to more replicas, and no row goes without its content.
	args.Data = args.Data || table.ConsistencyOf(ctx) == table.Monotonic
	raw, err := codec.Marshal(args)
	if err != nil {
		return version{}, nil, err
	}
	f, err := s.tables.Fetch(ctx, fetchObject, b[:], raw, "object "+quote(k))
	if err != nil {
		return version{}, nil, err
	}
	row, ok, err := table.Joined(f, s.rows.objects, args.Key)
	if err == nil && !(ok && row.Winner.exists()) {
		err = fmt.Errorf("object %s: %w", quote(k), ErrNoSuchKey)
	}
	if err != nil {
		f.Close()
		return version{}, nil, err
	}
	return row.Winner, f, nil
}

// take gets from the replies what the first bytes need; while no replica that replied has it, it waits for
// the others.
func (o *Object) take(ctx context.Context, f *table.Fetched, opts GetOptions) error {
	for {
		found, err := o.has(f, opts)
		if found || err != nil {
			return err
		}
		if !f.More(ctx) {
			return &quorum.Error{Op: "read", Subject: "content of object " + quote(o.key), Need: 1, Got: 0,
				Of:     f.Asked(),
				Causes: []quorum.Cause{{Node: "every replica that answered", Err: errMissing}}}
		}
		o.s.env.Sometimes("winner's content came from a later reply", true)
	}
}

var errMissing = errors.New("has the object's row but not its content")

func (o *Object) has(f *table.Fetched, opts GetOptions) (bool, error) {
	v := o.version
	if v.Inline {
		payload, ok, err := table.Joined(f, o.s.rows.payloads, garbageSort([]byte(o.key), v.ID))
		o.payload = payload.Data
		return ok && int64(len(payload.Data)) == v.Size, err
	}
	at, ok := v.locate(v.begin(opts))
	if !ok || v.inHead(at) {
		return true, nil
	}
	sort := listSort([]byte(o.key), at.owner, at.block/segmentBlocks)
	segment, ok, err := table.Joined(f, o.s.rows.lists, sort)
	if !ok || err != nil || (at.block%segmentBlocks+1)*hashLen > len(segment.Hashes) {
		return false, err
	}
	o.learn(segmentID{at.owner, at.block / segmentBlocks}, segment.Hashes)
	return true, nil
}

// Close gives back what the object holds.
func (o *Object) Close() {
	o.cancel()
	if o.guess != nil {
		o.guess.drop(o.s)
		o.guess = nil
	}
}

// guess is the first block that a read will want, going by this node's own row.
type guess struct {
	owner  block.Owner
	hash   block.Hash
	future *pendingBlock
}

// speculate starts to fetch the first block of a read on the word of the local row, if it costs no round
// trip.
func (s *Store) speculate(ctx context.Context, b bucket.BucketID, k Key, opts GetOptions) *guess {
	var row objectRow
	err := s.tables.Local(b[:], func(r *table.Reader) (err error) {
		row, _, err = s.rows.objects.Get(r, []byte(k))
		return err
	})
	v := row.Winner
	at, ok := v.locate(v.begin(opts))
	if err != nil || !ok || !v.exists() || !v.inHead(at) {
		return nil
	}
	h := v.hash(at)
	if !s.blocks.Near(h) {
		return nil
	}
	return &guess{owner: at.owner, hash: h, future: s.startBlock(ctx, at.bytes(),
		func(context.Context) (block.Hash, error) { return h, nil })}
}

func (g *guess) drop(s *Store) { g.future.drop(s) }

func quote(k Key) string { return fmt.Sprintf("%q", string(k)) }
