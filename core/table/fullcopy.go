package table

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/zeebo/blake3"

	"granary/core/kv"
	"granary/core/rpc"
	"granary/core/rt"
)

const (
	// syncEvery is the mean time between two comparisons of the full-copy tables with another node.
	syncEvery = 5 * time.Second
	// syncPageMax is how many rows one comparison message covers.
	syncPageMax = 1000
	// syncRowsBytesMax bounds the rows that one answer carries; the next comparison brings the rest.
	syncRowsBytesMax = 1 << 20
)

// fullPK is the partition key of every full-copy table.
var fullPK = []byte{0}

// FullPK is the partition key, one byte, of all full-copy tables: their Defs have PKLen 1.
func FullPK() []byte { return fullPK }

// syncRequest covers the rows of one full-copy table with sort in [Start, End), End nil for no bound.
type syncRequest struct {
	Table  ID       `cbor:"1,keyasint"`
	Start  []byte   `cbor:"2,keyasint,omitempty"`
	End    []byte   `cbor:"3,keyasint,omitempty"`
	Digest uint64   `cbor:"4,keyasint"`           // of Sorts and Sums
	Full   bool     `cbor:"7,keyasint,omitempty"` // the second message, when the digests differ, has both
	Sorts  [][]byte `cbor:"5,keyasint,omitempty"`
	Sums   []uint64 `cbor:"6,keyasint,omitempty"`
}

type syncResponse struct {
	Same bool     `cbor:"1,keyasint,omitempty"`
	Rows []Row    `cbor:"2,keyasint,omitempty"` // that the asker lacks or has in another state
	Want [][]byte `cbor:"3,keyasint,omitempty"` // sorts that the answerer lacks or has in another state
}

var methodSync = rpc.NewMethod[syncRequest, syncResponse]("table.sync", rpc.Meta)

// syncPage is what a node has in a range of a full-copy table.
type syncPage struct {
	sorts [][]byte
	sums  []uint64
	next  []byte // start of the next page, nil after the last
}

func (p syncPage) digest() uint64 {
	h := blake3.New()
	var b [8]byte
	for i, s := range p.sorts {
		binary.BigEndian.PutUint64(b[:], uint64(len(s)))
		h.Write(b[:])
		h.Write(s)
		binary.BigEndian.PutUint64(b[:], p.sums[i])
		h.Write(b[:])
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// fullPage lists up to max rows of a full-copy table from start, up to end.
func (t *Tables) fullPage(s schema, start, end []byte, max int) (p syncPage, err error) {
	id, _, pkLen := s.describe()
	err = t.store.View(func(r kv.Reader) error {
		lo, hi := newReader(r, fullPK).bounds(id, start, end)
		var failed error
		r.Ascend(lo, hi, func(k, stored []byte) bool {
			sort := bytes.Clone(k[localHeadLen+pkLen:])
			if len(p.sorts) == max {
				p.next = sort
				return false
			}
			row, err := s.unseal(stored)
			if err != nil {
				failed = err
				return false
			}
			sum := blake3.Sum256(row)
			p.sorts = append(p.sorts, sort)
			p.sums = append(p.sums, binary.BigEndian.Uint64(sum[:]))
			return true
		})
		return failed
	})
	return p, err
}

// runSync compares the full-copy tables with one random other node after another until the node stops.
func (t *Tables) runSync(ctx context.Context, tables []schema) error {
	for {
		half := syncEvery / 2
		pause := half + time.Duration(t.env.Rand("table/sync").Int64N(int64(2*half)))
		if err := t.env.Sleep(ctx, pause); err != nil {
			return nil
		}
		view, err := t.topology.FullView()
		if err != nil {
			continue
		}
		var others []rt.NodeID
		for _, n := range view.Targets() {
			if n != t.env.Self() {
				others = append(others, n)
			}
		}
		if len(others) == 0 {
			continue
		}
		peer := others[t.env.Rand("table/sync").IntN(len(others))]
		for _, s := range tables {
			if err := t.syncTable(ctx, peer, s); err != nil {
				t.env.Debug("full-copy sync failed", "peer", t.topology.Describe(peer), "err", err)
				break
			}
		}
	}
}

// syncRoundsMax bounds the messages of one comparison.
const syncRoundsMax = 100

// syncTable makes one table equal here and at peer, page by page. A page that brought rows is compared again,
// since there may be more where they come from.
func (t *Tables) syncTable(ctx context.Context, peer rt.NodeID, s schema) error {
	ctx, cancel := t.env.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	id, _, _ := s.describe()
	start := []byte(nil)
	for range syncRoundsMax {
		page, err := t.fullPage(s, start, nil, syncPageMax)
		if err != nil {
			return err
		}
		req := &syncRequest{Table: id, Start: start, End: page.next, Digest: page.digest()}
		resp, err := methodSync.Call(ctx, t.endpoint, peer, req)
		if err == nil && !resp.Same {
			req.Full, req.Sorts, req.Sums = true, page.sorts, page.sums
			if resp, err = methodSync.Call(ctx, t.endpoint, peer, req); err == nil {
				err = t.settle(ctx, peer, s, resp)
			}
		}
		if err != nil {
			return err
		}
		if len(resp.Rows) > 0 {
			continue
		}
		if start = page.next; start == nil {
			return nil
		}
	}
	return nil
}

// settle merges what the peer sent and sends what it wants.
func (t *Tables) settle(ctx context.Context, peer rt.NodeID, s schema, resp *syncResponse) error {
	if len(resp.Rows) > 0 {
		req := &writeRequest{PK: fullPK, Items: [][]Row{resp.Rows}, Merge: true}
		if _, err := t.handleWrite(ctx, peer, req); err != nil {
			return err
		}
	}
	rows, err := t.fullRows(s, resp.Want)
	if err != nil || len(rows) == 0 {
		return err
	}
	_, err = methodWrite.Call(ctx, t.endpoint, peer,
		&writeRequest{PK: fullPK, Items: [][]Row{rows}, Merge: true})
	return err
}

// fullRows reads the rows at sorts, as many as one message carries.
func (t *Tables) fullRows(s schema, sorts [][]byte) (rows []Row, err error) {
	id, _, _ := s.describe()
	size := 0
	err = t.store.View(func(r kv.Reader) error {
		reader := newReader(r, fullPK)
		for _, sort := range sorts {
			stored := reader.stored(id, sort)
			if stored == nil {
				continue
			}
			value, err := s.unseal(stored)
			if err != nil {
				return err
			}
			if size += len(value) + len(sort); size > syncRowsBytesMax && len(rows) > 0 {
				return nil
			}
			rows = append(rows, Row{Table: id, Sort: sort, Value: bytes.Clone(value)})
		}
		return nil
	})
	return rows, err
}

func (t *Tables) handleSync(_ context.Context, _ rt.NodeID, req *syncRequest) (*syncResponse, error) {
	s, err := t.registry.schema(req.Table)
	if err != nil {
		return nil, err
	}
	if !s.fullCopy() {
		return nil, fmt.Errorf("table %d is no full copy: %w", req.Table, ErrUnknownTable)
	}
	mine, err := t.fullPage(s, req.Start, req.End, 2*syncPageMax)
	if err != nil {
		return nil, err
	}
	resp := &syncResponse{Same: mine.next == nil && mine.digest() == req.Digest}
	if resp.Same || !req.Full {
		return resp, nil
	}
	err = t.compare(s, req, mine, resp)
	return resp, err
}

// compare fills in what asker and answerer lack of each other's.
func (t *Tables) compare(s schema, req *syncRequest, mine syncPage, resp *syncResponse) (err error) {
	theirs := make(map[string]uint64, len(req.Sorts))
	for i, sort := range req.Sorts {
		if i < len(req.Sums) {
			theirs[string(sort)] = req.Sums[i]
		}
	}
	var differ [][]byte
	have := make(map[string]bool, len(mine.sorts))
	for i, sort := range mine.sorts {
		have[string(sort)] = true
		sum, ok := theirs[string(sort)]
		if ok && sum == mine.sums[i] {
			continue
		}
		differ = append(differ, sort)
		if ok {
			resp.Want = append(resp.Want, sort)
		}
	}
	for _, sort := range req.Sorts {
		if !have[string(sort)] {
			resp.Want = append(resp.Want, sort)
		}
	}
	resp.Rows, err = t.fullRows(s, differ)
	return err
}
