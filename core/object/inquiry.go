package object

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"granary/core/block"
	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/layout"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

// askKind is what is asked about an id.
type askKind uint8

const (
	askVersion askKind = 1 // a version that was replaced
	askMark    askKind = 2 // a plain upload that seems to be abandoned
	askUpload  askKind = 3 // a multipart upload that has ended
	askOwner   askKind = 4 // the owner of a reference, of which nothing else is known
	askLoose   askKind = 5 // the owner of a block list, of which nothing else is known
)

// ask asks a replica to seal an id, unless something speaks against it there.
type ask struct {
	Kind askKind  `cbor:"1,keyasint"`
	Key  []byte   `cbor:"2,keyasint"`
	ID   [16]byte `cbor:"3,keyasint"`
	// Upload is the upload that a version completed, or what a reference names as such.
	Upload []byte `cbor:"4,keyasint,omitempty"`
	Part   int    `cbor:"5,keyasint,omitempty"` // that the owner is an attempt at
}

// finding is what a replica says.
type finding struct {
	// Sealed says that the replica has promised to accept nothing more of the id from coordinators, and that
	// nothing here needs what it owns.
	Sealed bool `cbor:"1,keyasint,omitempty"`
	// Head is the winner of the key here, or the newest that may have been collected.
	Head table.Head `cbor:"2,keyasint"`
	// Done is the version that an upload was completed as here.
	Done VersionID `cbor:"3,keyasint"`
}

type inquireRequest struct {
	Bucket bucket.BucketID `cbor:"1,keyasint"`
	Asks   []ask           `cbor:"2,keyasint"`
	// Plan is what the asker knew of the layouts.
	Plan cluster.Plan `cbor:"3,keyasint,omitzero"`
}

type inquireResponse struct {
	Findings []finding `cbor:"1,keyasint"`
}

// asksMax bounds the asks of one message, which one transaction answers.
const asksMax = 256

var methodInquire = rpc.NewMethod[inquireRequest, inquireResponse]("object.inquire", rpc.Meta)

func (s *Store) handleInquire(ctx context.Context, _ rt.NodeID, req *inquireRequest) (*inquireResponse,
	error) {
	if len(req.Asks) > asksMax {
		return nil, fmt.Errorf("%d ids in one inquiry, at most %d: %w", len(req.Asks), asksMax,
			table.ErrMalformedRow)
	}
	resp := &inquireResponse{Findings: make([]finding, len(req.Asks))}
	err := s.tables.Change(ctx, func(rows func([]byte) *table.Tx) error {
		tx := rows(req.Bucket[:])
		inSync, err := cluster.AdmitWrite(s.env, tx.Records(), req.Plan)
		switch {
		case err != nil:
			return err
		case !inSync: // what speaks against it may be what is missing here
			return cluster.ErrSyncing
		}
		for i, a := range req.Asks {
			f, err := s.rows.find(tx, a)
			if err != nil {
				return err
			}
			resp.Findings[i] = f
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// find answers one ask, and makes the promise if nothing speaks against it.
func (r *Rows) find(tx *table.Tx, a ask) (f finding, err error) {
	o, known, err := r.objects.Get(&tx.Reader, a.Key)
	if err != nil {
		return f, err
	}
	if f.Head = o.Winner.head(); !known {
		if f.Head, err = r.goneHead(&tx.Reader, a.Key); err != nil {
			return f, err
		}
	}
	id, free := a.ID, false
	switch a.Kind {
	case askVersion:
		if len(a.Upload) == len(UploadID{}) {
			id = [16]byte(a.Upload) // of all that may complete it
		}
		free = o.Winner.ID != a.ID
	case askMark:
		g, _, err := r.garbage.Get(&tx.Reader, garbageSort(a.Key, a.ID))
		if err != nil {
			return f, err
		}
		free = o.Winner.ID != a.ID && !g.Version.exists()
	case askUpload:
		up, _, err := r.uploads.Get(&tx.Reader, uploadSort(Key(a.Key), a.ID))
		if err != nil {
			return f, err
		}
		if free = up.State != uploadOpen; up.Done != nil {
			f.Done = up.Done.ID
		}
	case askLoose:
		known, err := r.known(&tx.Reader, Key(a.Key))
		if err != nil {
			return f, err
		}
		free = !known.has(a.ID)
	case askOwner:
		if id, free, err = r.findOwner(tx, o, a); err != nil {
			return f, err
		}
	}
	if !free {
		return f, nil
	}
	f.Sealed = true
	return f, r.seal(tx, a.Key, id)
}

// goneHead is the winner of a key of which there is no row: a deletion that was collected, as new as the
// floor says at most. What is no newer was replaced by it, and is taken in nowhere any more.
func (r *Rows) goneHead(reader *table.Reader, key []byte) (h table.Head, err error) {
	if h.Stamp, err = r.objects.Floor(reader, key); h.Stamp > 0 {
		for i := range h.ID {
			h.ID[i] = 0xff
		}
	}
	return h, err
}

// findOwner looks for what needs the blocks of an owner, and says which id decides about it.
func (r *Rows) findOwner(tx *table.Tx, o objectRow, a ask) (id [16]byte, free bool, err error) {
	id = a.ID
	if o.Winner.uses(a.ID) {
		return id, false, nil
	}
	if len(a.Upload) != len(UploadID{}) {
		free, err = r.unknown(&tx.Reader, o, a.Key, id)
		return id, free, err
	}
	up, ok, err := r.uploads.Get(&tx.Reader, uploadSort(Key(a.Key), UploadID(a.Upload)))
	switch {
	case err != nil:
		return id, false, err
	case !ok && a.Part == 0: // of a copy, whose version decides
		id = [16]byte(a.Upload)
		free, err = r.unknown(&tx.Reader, o, a.Key, id)
		return id, free, err
	case up.State == uploadAborted || up.State == uploadCompleted:
		return id, false, nil // its reclaim will see to it
	case up.State == uploadSpent:
		owners, err := r.usedBy(&tx.Reader, a.Key, a.Upload, VersionID{})
		return id, err == nil && !owners[a.ID], err
	}
	_, ok, err = r.uploads.GetRow(&tx.Reader, partSort(Key(a.Key), UploadID(a.Upload), a.Part, a.ID))
	return id, err == nil && !ok, err
}

// unknown reports whether an id is no version here, no upload in progress, and nothing that reclaim still
// works on.
func (r *Rows) unknown(reader *table.Reader, o objectRow, key []byte, id [16]byte) (bool, error) {
	sort := garbageSort(key, id)
	grave, _, err := r.graves.Get(reader, sort)
	if grave.Emptied || err != nil {
		return err == nil, err
	}
	_, noted, err := r.garbage.GetRow(reader, sort)
	if noted || err != nil || o.Winner.ID == id {
		return false, err
	}
	return !slices.ContainsFunc(o.Uploads, func(m uploading) bool { return m.ID == id }), nil
}

// usedBy returns the owners whose blocks the versions need that completed an upload, the winner and those in
// the garbage, but for one, and for those whose blocks have been released.
func (r *Rows) usedBy(reader *table.Reader, key, upload []byte, but VersionID) (map[block.Owner]bool, error) {
	owners := map[block.Owner]bool{}
	add := func(v version) {
		if v.ID == but || !v.hasBlocks() || !bytes.Equal(v.Upload, upload) {
			return
		}
		for _, p := range v.Parts {
			owners[p.Owner] = true
		}
	}
	o, _, err := r.objects.Get(reader, key)
	if err != nil {
		return nil, err
	}
	add(o.Winner)
	var others []version
	start := escapeKey(Key(key))
	err = r.garbage.Scan(reader, start, after(start), func(_ []byte, g garbageRow) bool {
		if bytes.Equal(g.Version.Upload, upload) {
			others = append(others, g.Version)
		}
		return true
	})
	for _, v := range others {
		grave, _, failed := r.graves.Get(reader, garbageSort(key, v.ID))
		if failed != nil {
			return nil, failed
		}
		if !grave.Emptied {
			add(v)
		}
	}
	return owners, err
}

// usesRequest asks for usedBy.
type usesRequest struct {
	Bucket bucket.BucketID `cbor:"1,keyasint"`
	Key    []byte          `cbor:"2,keyasint"`
	Upload []byte          `cbor:"3,keyasint"`
	But    VersionID       `cbor:"4,keyasint"`
	Plan   cluster.Plan    `cbor:"5,keyasint,omitzero"`
}

type usesResponse struct {
	Owners []byte `cbor:"1,keyasint,omitempty"` // concatenated, in order
}

var methodUses = rpc.NewMethod[usesRequest, usesResponse]("object.uses", rpc.Meta)

func (s *Store) handleUses(_ context.Context, _ rt.NodeID, req *usesRequest) (*usesResponse, error) {
	resp := &usesResponse{}
	err := s.tables.Local(req.Bucket[:], func(r *table.Reader) error {
		if err := cluster.AdmitRead(s.env, r.Records(), req.Plan); err != nil {
			return err // what needs them may be what is missing here
		}
		owners, err := s.rows.usedBy(r, req.Key, req.Upload, req.But)
		all := make([]block.Owner, 0, len(owners))
		for o := range owners {
			all = append(all, o)
		}
		slices.SortFunc(all, func(a, b block.Owner) int { return bytes.Compare(a[:], b[:]) })
		for _, o := range all {
			resp.Owners = append(resp.Owners, o[:]...)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// replicas are the nodes that must agree before anything of a bucket is given up: all of its live sets. ok is
// false while a change of the layout is under way there: reclaim waits for its end.
func (s *Store) replicas(b bucket.BucketID) (set layout.Set, ok bool, err error) {
	view, err := s.topology.View(layout.PrefixOf(b[:]))
	if err != nil || len(view.Live) != 1 {
		return set, false, err
	}
	return view.Live[0], true, nil
}

// planOf is the plan of what goes to a bucket's only live set.
func planOf(set layout.Set) cluster.Plan {
	return cluster.Plan{Newest: set.Version, Anchor: set.Version}
}

// everyone calls every node of a set and returns their answers in its order.
//
// Errors: that of the first node that does not answer, with its name.
func everyone[R any](ctx context.Context, s *Store, nodes []rt.NodeID,
	call func(context.Context, rt.NodeID) (*R, error)) ([]*R, error) {
	answers := make([]*R, len(nodes))
	one := func(ctx context.Context, i int) (err error) {
		ctx, cancel := s.env.WithTimeout(ctx, table.ReadTimeout)
		defer cancel()
		if answers[i], err = call(ctx, nodes[i]); err != nil {
			return fmt.Errorf("every replica must agree before space is freed: %s: %w",
				s.topology.Describe(nodes[i]), err)
		}
		return nil
	}
	return answers, rt.Each(ctx, s.env, "reclaim call", len(nodes), len(nodes), one)
}

// inquire asks every replica of a bucket, up to asksMax asks, and returns which ids may be given up.
func (s *Store) inquire(ctx context.Context, set layout.Set, b bucket.BucketID, asks []ask,
	heads []table.Head) ([]bool, error) {
	req := &inquireRequest{Bucket: b, Asks: asks, Plan: planOf(set)}
	answers, err := everyone(ctx, s, set.Nodes, func(ctx context.Context, to rt.NodeID) (*inquireResponse,
		error) {
		return methodInquire.Call(ctx, s.endpoint, to, req)
	})
	if err != nil {
		return nil, err
	}
	agreed := make([]bool, len(asks))
	for i, a := range asks {
		var all []finding
		for _, answer := range answers {
			if i < len(answer.Findings) {
				all = append(all, answer.Findings[i])
			}
		}
		one := s.env.Mutant("reclaim: seal by one replica")
		if a.Kind == askVersion {
			one = s.env.Mutant("reclaim: superseder at one replica")
		}
		if one {
			agreed[i] = slices.ContainsFunc(all, func(f finding) bool { return f.Sealed })
			continue
		}
		agreed[i] = len(all) == len(set.Nodes) && a.granted(all, set.Write, heads[i])
	}
	return agreed, nil
}

// granted decides from the findings of all replicas. What was replaced may go once no replica has it as its
// winner and what replaced it is held by a write quorum; an upload, once all agree on what became of it.
func (a ask) granted(all []finding, write int, head table.Head) bool {
	newer := 0
	for _, f := range all {
		if !f.Sealed || f.Done != all[0].Done {
			return false
		}
		if f.Head.Compare(head) > 0 {
			newer++
		}
	}
	return a.Kind != askVersion || newer >= write
}
