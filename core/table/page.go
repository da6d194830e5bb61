package table

import (
	"bytes"
	"context"
	"fmt"
	"math"

	"granary/core/cluster"
	"granary/core/kv"
	"granary/core/rpc"
	"granary/core/rt"
)

// Limits of what a replica answers to one listing request.
const (
	// pageBytesMax bounds the rows of an answer in bytes, well below rpc.MessageMax. A single longer row
	// still goes.
	pageBytesMax = 2 << 20
	// pageDeadMax is how many rows that a listing does not show an answer covers at first, pageDeadLimit at
	// most.
	pageDeadMax   = 2_000
	pageDeadLimit = 32_000
	// pageAsksMax is how many ranges one request asks for.
	pageAsksMax = 256
	// pageViewMax is how many rows one read transaction looks at.
	pageViewMax = 1_000
)

// pageRequest asks a replica for rows of one partition key, in several ranges.
type pageRequest struct {
	Table ID           `cbor:"1,keyasint"`
	PK    []byte       `cbor:"2,keyasint"`
	All   bool         `cbor:"3,keyasint,omitempty"` // every row counts as live, and none is skipped
	Asks  []pageAsk    `cbor:"4,keyasint"`
	Plan  cluster.Plan `cbor:"5,keyasint,omitzero"`

	filters bool // a mutant
}

// pageAsk is one range of sort keys, [Start, End), End nil for no bound. If Delimiter is not empty, rows that
// have it behind the first Base bytes of their sort keys form groups, of which only the rows up to the first
// live one are wanted.
type pageAsk struct {
	Start     []byte `cbor:"1,keyasint,omitempty"`
	End       []byte `cbor:"2,keyasint,omitempty"`
	Base      int    `cbor:"3,keyasint,omitempty"`
	Delimiter []byte `cbor:"4,keyasint,omitempty"`
	Live      int    `cbor:"5,keyasint"` // stop after so many live rows
	Dead      int    `cbor:"6,keyasint"` // stop after so many others
}

type pageResponse struct {
	Answers []pageAnswer `cbor:"1,keyasint"`
	// Absent says what is gone of what is missing.
	Absent absence `cbor:"2,keyasint,omitzero"`
}

// pageAnswer has the rows of one range, in order. Whole says that it was examined to its end; else End is the
// last sort key that was, nil if none was.
type pageAnswer struct {
	Rows  []byte `cbor:"1,keyasint,omitempty"` // packed, see pack
	Count int    `cbor:"2,keyasint,omitempty"`
	End   []byte `cbor:"3,keyasint,omitempty"`
	Whole bool   `cbor:"4,keyasint,omitempty"`
}

var methodPage = rpc.NewMethod[pageRequest, pageResponse]("table.page", rpc.Meta)

// pageLimits bound the work of one answer.
type pageLimits struct {
	bytes int // of rows
	view  int // rows that one read transaction looks at
}

func (t *Tables) handlePage(ctx context.Context, _ rt.NodeID, req *pageRequest) (*pageResponse, error) {
	s, err := t.registry.schema(req.Table)
	if err != nil {
		return nil, err
	}
	req.filters = t.env.Mutant("listing filters before merging")
	for {
		watch := &absenceWatch{ages: s.ages(), pk: req.PK}
		view := func(scan func(kv.Reader) error) error {
			return t.store.View(func(r kv.Reader) error {
				if err := cluster.AdmitRead(t.env, r, req.Plan); err != nil {
					return err
				}
				if err := watch.look(r); err != nil {
					return err
				}
				return scan(r)
			})
		}
		resp, err := answerPage(ctx, view, s, req, pageLimits{bytes: pageBytesMax, view: pageViewMax})
		if err != nil {
			return nil, err
		}
		if !watch.rose {
			resp.Absent = watch.absent
			return resp, nil
		}
	}
}

// absenceWatch sees whether what is gone stays so over all transactions of a page: a floor that rises in
// between would say of rows that were looked for before that they are.
type absenceWatch struct {
	ages   bool
	pk     []byte
	again  bool
	absent absence
	rose   bool
}

func (f *absenceWatch) look(r kv.Reader) error {
	if !f.ages {
		return nil
	}
	absent, err := newReader(r, f.pk).absence()
	f.rose = f.rose || f.again && !absent.equal(f.absent)
	f.again, f.absent = true, absent
	return err
}

// viewer makes a read transaction, as kv.Store.View.
type viewer func(func(kv.Reader) error) error

// answerPage answers every range in turn with its fair share of the bytes that are left. It never filters: a
// row goes whatever its state is, since another replica may know it in an older one.
func answerPage(ctx context.Context, view viewer, s schema, req *pageRequest, max pageLimits) (
	*pageResponse, error) {
	if _, name, n := s.describe(); len(req.PK) != n || len(req.Asks) > pageAsksMax {
		return nil, fmt.Errorf("table %s: page of partition key %x, %d ranges: %w",
			name, req.PK, len(req.Asks), ErrMalformedRow)
	}
	resp := &pageResponse{Answers: make([]pageAnswer, len(req.Asks))}
	left := max.bytes
	for i, ask := range req.Asks {
		if left <= 0 {
			break
		}
		scan := newPageScan(s, req.PK, ask, req.All, pageLimits{left / (len(req.Asks) - i), max.view})
		scan.filters = req.filters
		for !scan.done {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := view(scan.view); err != nil {
				return nil, err
			}
		}
		resp.Answers[i] = scan.answer
		left -= len(scan.answer.Rows)
	}
	return resp, nil
}

// pageScan reads one range in several short transactions.
type pageScan struct {
	schema  schema
	ask     pageAsk
	all     bool
	filters bool // a mutant: rows that no listing shows are kept back
	max     pageLimits
	head    int // length of what precedes the sort key in a local key

	from, to []byte // what is left, as local keys
	next     []byte // where to go on, if the scan was stopped for that
	row      []byte
	seen     int // rows of this transaction
	live     int
	dead     int
	done     bool
	err      error
	answer   pageAnswer
}

func newPageScan(s schema, pk []byte, ask pageAsk, all bool, max pageLimits) *pageScan {
	id, _, pkLen := s.describe()
	ask.Live = clamp(ask.Live, ListMax+1)
	ask.Dead = clamp(ask.Dead, pageDeadLimit)
	p := &pageScan{schema: s, ask: ask, all: all, max: max, head: localHeadLen + pkLen}
	p.from, p.to = newReader(nil, pk).bounds(id, ask.Start, ask.End)
	return p
}

func clamp(n, most int) int { return min(max(n, 1), most) }

// view looks at the next rows in one transaction.
func (p *pageScan) view(r kv.Reader) error {
	visit := p.visit
	for p.seen = 0; !p.done && p.seen < p.max.view; {
		p.next = p.next[:0]
		r.Ascend(p.from, p.to, visit)
		if p.err != nil {
			return p.err
		}
		if !p.done && len(p.next) == 0 {
			p.answer.Whole, p.done = true, true
		}
		p.from, p.next = p.next, p.from
	}
	return nil
}

// visit takes one row and reports whether the scan goes on with the one behind it.
func (p *pageScan) visit(k, stored []byte) bool {
	p.seen++
	sort := k[p.head:]
	if !p.all {
		if to := p.schema.skip(sort); to != nil {
			return p.skip(k, to)
		}
	}
	var live bool
	if p.row, live, p.err = p.schema.page(p.row[:0], stored); p.err != nil {
		p.err = atKey(k, p.err)
		return false
	}
	live = live || p.all
	if !live && p.filters {
		return p.goOn(k)
	}
	if n := len(p.answer.Rows); n > 0 && n+len(sort)+len(p.row)+packMax > p.max.bytes {
		p.done = true
		return false
	}
	p.answer.Rows = pack(p.answer.Rows, sort, p.row, live)
	p.answer.Count++
	if live {
		p.live++
	}
	if !p.examined(sort, live) {
		return false
	}
	if group := groupLen(p.schema, p.ask.Base, p.ask.Delimiter, sort); live && group > 0 {
		p.next = appendSuccessor(p.next, k[:p.head+group])
		return false
	}
	return p.goOn(k)
}

// skip passes over rows that no listing shows, up to the sort key to.
func (p *pageScan) skip(k, to []byte) bool {
	sort := k[p.head:]
	if bytes.Compare(to, sort) <= 0 {
		_, name, _ := p.schema.describe()
		p.err = fmt.Errorf("table %s: skip from %x back to %x: %w", name, sort, to, ErrMalformedRow)
		return false
	}
	if p.examined(sort, false) {
		p.next = append(append(p.next, k[:p.head]...), to...)
	}
	return false
}

// examined notes that everything up to sort is known, and reports whether there may be more.
func (p *pageScan) examined(sort []byte, live bool) bool {
	if !live {
		p.dead++
	}
	p.answer.End = append(p.answer.End[:0], sort...)
	p.done = p.live >= p.ask.Live || p.dead >= p.ask.Dead
	return !p.done
}

// goOn ends the transaction when it has looked at enough rows; k was the last.
func (p *pageScan) goOn(k []byte) bool {
	if p.seen < p.max.view {
		return true
	}
	p.next = append(append(p.next, k...), 0)
	return false
}

// appendSuccessor appends to dst, which is empty, the first key behind every key with prefix p; nothing if
// there is none.
func appendSuccessor(dst, p []byte) []byte {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] < math.MaxUint8 {
			dst = append(dst, p[:i+1]...)
			dst[i]++
			return dst
		}
	}
	return dst
}

// groupLen is the length of the group prefix of a sort key: up to and with the first delimiter behind base
// bytes, inside the part of the key that may be folded. 0: the key belongs to no group.
func groupLen(s listSchema, base int, delimiter, sort []byte) int {
	n := min(s.foldable(sort), len(sort))
	if len(delimiter) == 0 || base >= n {
		return 0
	}
	i := bytes.Index(sort[base:n], delimiter)
	if i < 0 {
		return 0
	}
	return base + i + len(delimiter)
}
