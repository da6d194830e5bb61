package table

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/cluster"
	"granary/core/hlc"
	"granary/core/kv"
	"granary/core/rpc"
	"granary/core/rt"
)

// Limits of an exchange.
const (
	// asksMax is how many spans one message compares.
	asksMax = 64
	// answerBytesMax bounds what one message brings, give or take a row.
	answerBytesMax = 1 << 20
	// flushRows is how many differing rows are collected before they are moved.
	flushRows = 256
	// exchangeTimeout bounds the wait for one answer.
	exchangeTimeout = 30 * time.Second
)

// spanAsk compares a span; Digest is the asker's.
type spanAsk struct {
	Span
	Digest Digest `cbor:"3,keyasint"`
}

// spanAnswer is what the answerer has in a span: the same, parts with their digests, or rows.
type spanAnswer struct {
	Same bool `cbor:"1,keyasint,omitempty"`
	// Later means that the answer was full; ask again.
	Later bool `cbor:"2,keyasint,omitempty"`
	// Starts are where the parts begin, but for the first; Digests are those of all parts.
	Starts  [][]byte `cbor:"3,keyasint,omitempty"`
	Digests []Digest `cbor:"4,keyasint,omitempty"`
	// Keys, without the Prefix that all have in common, and Sums are the rows up to Next, the start of what
	// was left out; Next is empty if that is nothing.
	Prefix []byte   `cbor:"5,keyasint,omitempty"`
	Keys   [][]byte `cbor:"6,keyasint,omitempty"`
	Sums   []uint64 `cbor:"7,keyasint,omitempty"`
	Next   []byte   `cbor:"8,keyasint,omitempty"`
}

type compareRequest struct {
	Asks []spanAsk `cbor:"1,keyasint"`
	// Source is what the answerer must be; zero: anything.
	Source cluster.Source `cbor:"2,keyasint,omitzero"`
}

type compareResponse struct {
	Answers []spanAnswer `cbor:"1,keyasint,omitempty"`
}

// batch is a row with its parts, the row last; or, while Next is not 0, only parts, to be followed by more.
type batch struct {
	PK   []byte `cbor:"1,keyasint"`
	Rows []Row  `cbor:"2,keyasint,omitempty"`
	Next int    `cbor:"3,keyasint,omitempty"`
}

// pullRequest asks for the batches of rows by their local keys; of the first, without its first Skip parts.
type pullRequest struct {
	Keys [][]byte `cbor:"1,keyasint"`
	Skip int      `cbor:"2,keyasint,omitempty"`
	// Source is what the answerer must be; zero: anything.
	Source cluster.Source `cbor:"3,keyasint,omitzero"`
}

// batches are in the order of the keys, as many as one message carries, and at least one if there is any.
type batches struct {
	Batches []batch `cbor:"1,keyasint,omitempty"`
}

// pushResponse names the batches that were passed over because their rows are below the receiver's floor.
type pushResponse struct {
	Below []below `cbor:"1,keyasint,omitempty"`
}

type below struct {
	Batch int       `cbor:"1,keyasint,omitempty"`
	Floor hlc.Stamp `cbor:"2,keyasint"`
}

var (
	methodCompare = rpc.NewMethod[compareRequest, compareResponse]("table.compare", rpc.Bulk)
	methodPull    = rpc.NewMethod[pullRequest, batches]("table.pull", rpc.Bulk)
	methodPush    = rpc.NewMethod[batches, pushResponse]("table.push", rpc.Bulk)
)

func (t *Tables) scope(r kv.Reader) scope {
	if t.env.Buggify("table: spans are split early", 0.5) {
		return scope{r, t.registry, listMin}
	}
	return scope{r, t.registry, listMax}
}

// handleCompare answers from one snapshot.
func (t *Tables) handleCompare(_ context.Context, _ rt.NodeID, req *compareRequest) (*compareResponse,
	error) {
	if len(req.Asks) > asksMax {
		return nil, fmt.Errorf("comparison of %d spans, at most %d: %w", len(req.Asks), asksMax,
			ErrMalformedRow)
	}
	resp := &compareResponse{Answers: make([]spanAnswer, len(req.Asks))}
	for _, ask := range req.Asks {
		if len(ask.Lo) == 0 || ask.Lo[0] != localPrefix || bytes.Compare(ask.Lo, ask.Hi) >= 0 {
			return nil, fmt.Errorf("comparison of [%x, %x): %w", ask.Lo, ask.Hi, ErrMalformedRow)
		}
	}
	size := 0
	err := t.store.View(func(r kv.Reader) error {
		if err := cluster.AdmitSync(t.env, r, req.Source); err != nil {
			return err
		}
		for i, ask := range req.Asks {
			if size > answerBytesMax {
				resp.Answers[i].Later = true
				continue
			}
			resp.Answers[i] = t.scope(r).answer(ask)
			size += resp.Answers[i].size()
		}
		return nil
	})
	return resp, err
}

func (a *spanAnswer) size() (n int) {
	for _, k := range a.Starts {
		n += len(k) + 32
	}
	for _, k := range a.Keys {
		n += len(k) + 12
	}
	return n
}

// answer compares a span with this node's.
func (c scope) answer(ask spanAsk) (a spanAnswer) {
	mine := c.Digest(ask.Span)
	if mine == ask.Digest {
		return spanAnswer{Same: true}
	}
	a.Starts = c.split(ask.Span, mine.Rows)
	if len(a.Starts) > 0 {
		for _, part := range splitAt(ask.Span, a.Starts) {
			a.Digests = append(a.Digests, c.Digest(part))
		}
		return a
	}
	rows, next := c.list(ask.Span, listPageMax)
	a.Next = next
	if len(rows) > 0 {
		a.Prefix = commonPrefix(rows[0].key, rows[len(rows)-1].key)
	}
	for _, row := range rows {
		a.Keys = append(a.Keys, row.key[len(a.Prefix):])
		a.Sums = append(a.Sums, row.sum)
	}
	return a
}

// splitAt returns the spans that a span is split into at starts.
func splitAt(at Span, starts [][]byte) (all []Span) {
	lo := at.Lo
	for _, start := range starts {
		all = append(all, Span{lo, start})
		lo = start
	}
	return append(all, Span{lo, at.Hi})
}

func commonPrefix(a, b []byte) []byte {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// handlePull sends rows with their parts.
func (t *Tables) handlePull(_ context.Context, _ rt.NodeID, req *pullRequest) (*batches, error) {
	return t.carry(req.Keys, req.Skip, req.Source)
}

// carry reads the batches of rows, from part skip of the first on, as many as one message carries, if this
// node is what source says in the transaction that reads them. A row that is not here makes an empty batch.
func (t *Tables) carry(keys [][]byte, skip int, source cluster.Source) (*batches, error) {
	out, size := &batches{}, 0
	err := t.store.View(func(r kv.Reader) error {
		if err := cluster.AdmitSync(t.env, r, source); err != nil {
			return err
		}
		for _, key := range keys {
			if size >= answerBytesMax {
				return nil
			}
			b, n, err := t.carryOne(r, key, skip, answerBytesMax-size)
			if err != nil {
				return err
			}
			if b.Next != 0 && len(out.Batches) > 0 {
				return nil // it begins the next message
			}
			out.Batches, size, skip = append(out.Batches, b), size+n, 0
			if b.Next != 0 {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (t *Tables) carryOne(r kv.Reader, key []byte, skip, room int) (b batch, size int, err error) {
	if len(key) <= localHeadLen || key[0] != localPrefix {
		return b, 0, fmt.Errorf("local key %x: %w", key, ErrMalformedRow)
	}
	s, err := t.registry.schema(ID(key[localHeadLen-1]))
	if err != nil {
		return b, 0, err
	}
	id, name, n := s.describe()
	if s.derived() || len(key) < localHeadLen+n {
		return b, 0, fmt.Errorf("table %s: local key %x: %w", name, key, ErrMalformedRow)
	}
	b.PK = bytes.Clone(key[localHeadLen : localHeadLen+n])
	stored := r.Get(key)
	if stored == nil {
		return b, 0, nil
	}
	value, err := s.unseal(stored)
	if err != nil {
		return b, 0, atKey(key, err)
	}
	at := Address{b.PK, key[localHeadLen+n:]}
	i := 0
	take := func(row Row) {
		if i++; i <= skip || b.Next != 0 {
			return
		}
		if n := len(row.Value) + len(row.Sort); size == 0 || size+n <= room {
			size += n
			b.Rows = append(b.Rows, Row{row.Table, bytes.Clone(row.Sort), bytes.Clone(row.Value)})
			return
		}
		b.Next = i - 1
	}
	if !t.env.Mutant("anti-entropy: row without its parts") {
		if _, err := s.parts(newReader(r, b.PK), at, value, take); err != nil {
			return b, 0, err
		}
	}
	take(Row{id, at.Sort, value})
	return b, size, nil
}

// handlePush merges what another replica sent.
func (t *Tables) handlePush(ctx context.Context, _ rt.NodeID, req *batches) (*pushResponse, error) {
	passed, err := t.mergeBatches(ctx, req, false)
	return &pushResponse{Below: passed}, err
}

// mergeBatches merges batches in one transaction, without refusals; each row gets this replica's vote as if
// it had come from its coordinator. Those that there is no room for are left out, and those below the floor,
// unless they are trusted; the others, such as deletions, are merged all the same.
//
// Errors: ErrFull if something had no room; others mean that nothing was merged.
func (t *Tables) mergeBatches(ctx context.Context, in *batches, trusted bool) (passed []below, err error) {
	var full error
	err = t.Change(ctx, func(rows func(pk []byte) *Tx) error {
		full, passed = nil, nil
		for i, b := range in.Batches {
			tx := rows(b.PK)
			tx.trusted = trusted
			err := tx.try(b.Rows)
			var over *passedOver
			switch {
			case errors.Is(err, ErrFull):
				full = err
			case errors.As(err, &over):
				if !over.cut {
					passed = append(passed, below{i, over.floor})
				}
			case err != nil:
				return err
			}
		}
		return nil
	})
	return passed, cmp.Or(err, full)
}

// try merges rows, all or none of them.
func (tx *Tx) try(rows []Row) error {
	undo, after := &undoWriter{Writer: tx.w}, len(*tx.after)
	tx.w = undo
	_, err := tx.applyItem(rows)
	if err != nil {
		undo.rollback()
		*tx.after = (*tx.after)[:after]
	}
	return err
}

// exchange makes spans equal here and at a peer. It belongs to one task.
type exchange struct {
	t      *Tables
	peer   rt.NodeID
	source cluster.Source
	// taking says that this node takes over what the source has: what is below the floor there is here too.
	taking bool
	// pace is called after every message with the bytes it brought; an error ends the exchange.
	pace func(ctx context.Context, bytes int) error
	todo []spanAsk // a stack, so that it stays short
	want []keySum  // what differs there, or is only there, with its sum there
	give [][]byte  // what is only here
	done Exchanged
	full error // ErrFull of either side: some rows had no room
}

// Exchanged is what an exchange did.
type Exchanged struct {
	Rounds   int // messages there and back
	Bytes    int // of keys, digests and rows, both ways
	Received int // rows that differed here, or were missing
	Sent     int // rows that differed there, or were missing
}

// TakeOver makes spans equal here and at a peer that is what source says, whenever it answers: then this node
// has all rows that the peer had when its fence went up. pace is called after every message with the bytes it
// brought; an error ends the exchange.
//
// Errors: cluster.ErrOldLayout and cluster.ErrSyncing if the peer is not what source says, ErrFull if either
// side had no room for some rows, those of calls and of the store; what was done stays.
func (t *Tables) TakeOver(ctx context.Context, peer rt.NodeID, spans []Span, source cluster.Source,
	pace func(context.Context, int) error) (Exchanged, error) {
	if _, err := t.takeFloors(ctx, peer, spans, source); err != nil {
		return Exchanged{}, err
	}
	var done Exchanged
	for { // until no floor was raised meanwhile: what is gone there must not stay here
		x := &exchange{t: t, peer: peer, source: source, pace: pace, taking: true}
		some, err := x.run(ctx, spans)
		done = done.add(some)
		if err != nil {
			return done, err
		}
		if raised, err := t.takeFloors(ctx, peer, spans, source); !raised || err != nil {
			return done, err
		}
	}
}

func (x Exchanged) add(y Exchanged) Exchanged {
	return Exchanged{x.Rounds + y.Rounds, x.Bytes + y.Bytes, x.Received + y.Received, x.Sent + y.Sent}
}

// exchangeSpans makes spans equal here and at peer.
//
// Errors: ErrFull if either side had no room for some rows, those of calls and of the store; what was done
// stays.
func (t *Tables) exchangeSpans(ctx context.Context, peer rt.NodeID, spans []Span,
	pace func(context.Context, int) error) (Exchanged, error) {
	return (&exchange{t: t, peer: peer, pace: pace}).run(ctx, spans)
}

func (x *exchange) run(ctx context.Context, spans []Span) (Exchanged, error) {
	t := x.t
	err := t.store.View(func(r kv.Reader) error {
		for _, span := range slices.Backward(spans) {
			x.todo = append(x.todo, spanAsk{span, t.scope(r).Digest(span)})
		}
		return nil
	})
	for err == nil && len(x.todo) > 0 {
		err = x.step(ctx)
	}
	if err == nil {
		err = x.flush(ctx)
	}
	return x.done, cmp.Or(err, x.full)
}

// roomy notes that a side had no room for some rows; the others were merged.
func (x *exchange) roomy(err error) error {
	if errors.Is(err, ErrFull) {
		x.full, err = err, nil
	}
	return err
}

// called accounts for a message of so many bytes.
func (x *exchange) called(ctx context.Context, bytes int) error {
	x.done.Rounds++
	x.done.Bytes += bytes
	return x.pace(ctx, bytes)
}

// step compares the spans at the top of the stack.
func (x *exchange) step(ctx context.Context) error {
	n := max(0, len(x.todo)-asksMax)
	asks := slices.Clone(x.todo[n:])
	x.todo = x.todo[:n]
	cctx, cancel := x.t.env.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	resp, err := methodCompare.Call(cctx, x.t.endpoint, x.peer, &compareRequest{asks, x.source})
	if err != nil {
		return err
	}
	if len(resp.Answers) != len(asks) {
		return fmt.Errorf("%d answers to %d spans: %w", len(resp.Answers), len(asks), ErrMalformedRow)
	}
	size := 0
	for i, ask := range asks {
		size += len(ask.Lo) + len(ask.Hi) + 32 + resp.Answers[i].size()
	}
	if err := x.called(ctx, size); err != nil {
		return err
	}
	for i, ask := range asks {
		if err := x.take(ctx, ask, resp.Answers[i]); err != nil {
			return err
		}
	}
	return nil
}

// take notes what an answer says is still to be done.
func (x *exchange) take(ctx context.Context, ask spanAsk, a spanAnswer) error {
	switch {
	case a.Same:
		return nil
	case a.Later:
		x.todo = append(x.todo, ask)
		return nil
	case len(a.Starts) > 0:
		return x.narrow(ask.Span, a)
	}
	if len(a.Sums) != len(a.Keys) {
		return fmt.Errorf("%d keys with %d sums: %w", len(a.Keys), len(a.Sums), ErrMalformedRow)
	}
	rest := ask.Span
	if len(a.Next) > 0 {
		rest.Hi = a.Next
		x.todo = append(x.todo, spanAsk{Span: Span{a.Next, ask.Hi}})
		if err := x.renew(&x.todo[len(x.todo)-1]); err != nil {
			return err
		}
	}
	theirs := make([]keySum, len(a.Keys))
	for i, k := range a.Keys {
		theirs[i] = keySum{slices.Concat(a.Prefix, k), a.Sums[i]}
	}
	return x.match(ctx, rest, theirs)
}

func (x *exchange) renew(ask *spanAsk) error {
	return x.t.store.View(func(r kv.Reader) error {
		ask.Digest = x.t.scope(r).Digest(ask.Span)
		return nil
	})
}

// narrow goes on with those parts of a span that differ.
func (x *exchange) narrow(at Span, a spanAnswer) error {
	all := splitAt(at, a.Starts)
	if len(a.Digests) != len(all) {
		return fmt.Errorf("%d digests of %d parts: %w", len(a.Digests), len(all), ErrMalformedRow)
	}
	return x.t.store.View(func(r kv.Reader) error {
		for i, part := range slices.Backward(all) {
			if bytes.Compare(part.Lo, part.Hi) >= 0 {
				return fmt.Errorf("part [%x, %x): %w", part.Lo, part.Hi, ErrMalformedRow)
			}
			if mine := x.t.scope(r).Digest(part); mine != a.Digests[i] {
				x.todo = append(x.todo, spanAsk{part, mine})
			}
		}
		return nil
	})
}

// match compares the peer's rows of a span with this node's, page by page.
func (x *exchange) match(ctx context.Context, at Span, theirs []keySum) error {
	for {
		var mine []keySum
		var next []byte
		err := x.t.store.View(func(r kv.Reader) error {
			mine, next = x.t.scope(r).list(at, listPageMax)
			return nil
		})
		if err != nil {
			return err
		}
		n := len(theirs)
		if next != nil {
			n, _ = slices.BinarySearchFunc(theirs, next, func(l keySum, k []byte) int {
				return bytes.Compare(l.key, k)
			})
		}
		x.differ(mine, theirs[:n])
		if len(x.want)+len(x.give) >= flushRows {
			if err := x.flush(ctx); err != nil {
				return err
			}
		}
		if next == nil {
			return nil
		}
		theirs, at.Lo = theirs[n:], next
	}
}

// differ notes the rows that are not the same in two ordered lists.
func (x *exchange) differ(mine, theirs []keySum) {
	for len(mine) > 0 || len(theirs) > 0 {
		order := -1
		switch {
		case len(mine) == 0:
			order = 1
		case len(theirs) > 0:
			order = bytes.Compare(mine[0].key, theirs[0].key)
		}
		switch {
		case order < 0:
			x.give = append(x.give, mine[0].key)
		case order == 0 && mine[0].sum == theirs[0].sum:
		case order == 0 && x.t.env.Mutant("anti-entropy: newer is equal"):
		default:
			x.want = append(x.want, theirs[0])
		}
		if order <= 0 {
			mine = mine[1:]
		}
		if order >= 0 {
			theirs = theirs[1:]
		}
	}
}

// flush moves the rows that were found to differ: first here, where they are joined, then there what still
// differs.
func (x *exchange) flush(ctx context.Context) error {
	keys := make([][]byte, len(x.want))
	for i, l := range x.want {
		keys[i] = l.key
	}
	if err := x.pull(ctx, keys); err != nil {
		return err
	}
	err := x.t.store.View(func(r kv.Reader) error {
		for _, l := range x.want {
			if x.t.scope(r).sumOf(l.key) != l.sum {
				x.give = append(x.give, l.key)
			}
		}
		return nil
	})
	if err == nil {
		err = x.push(ctx, x.give)
	}
	x.want, x.give = nil, nil
	return err
}

// pull fetches batches and merges them here.
func (x *exchange) pull(ctx context.Context, keys [][]byte) error {
	for skip := 0; len(keys) > 0; {
		cctx, cancel := x.t.env.WithTimeout(ctx, exchangeTimeout)
		got, err := methodPull.Call(cctx, x.t.endpoint, x.peer,
			&pullRequest{keys, skip, x.source})
		cancel()
		if err != nil {
			return err
		}
		if len(got.Batches) == 0 || len(got.Batches) > len(keys) {
			return fmt.Errorf("%d batches of %d: %w", len(got.Batches), len(keys), ErrMalformedRow)
		}
		if err := x.called(ctx, keysSize(keys)+got.size()); err != nil {
			return err
		}
		_, err = x.t.mergeBatches(ctx, got, x.taking)
		if err := x.roomy(err); err != nil {
			return err
		}
		var whole int
		if whole, skip, err = got.progress(skip); err != nil {
			return err
		}
		x.done.Received += whole
		keys = keys[whole:]
	}
	return nil
}

// push sends batches.
func (x *exchange) push(ctx context.Context, keys [][]byte) error {
	for skip := 0; len(keys) > 0; {
		send, err := x.t.carry(keys, skip, cluster.Source{})
		if err != nil {
			return err
		}
		cctx, cancel := x.t.env.WithTimeout(ctx, exchangeTimeout)
		resp, err := methodPush.Call(cctx, x.t.endpoint, x.peer, send)
		cancel()
		if err := x.roomy(err); err != nil {
			return err
		}
		if resp != nil {
			if err := x.yield(ctx, keys, resp.Below); err != nil {
				return err
			}
		}
		if err := x.called(ctx, send.size()); err != nil {
			return err
		}
		var whole int
		if whole, skip, err = send.progress(skip); err != nil {
			return err
		}
		x.done.Sent += whole
		keys = keys[whole:]
	}
	return nil
}

// yield gives up what the peer knows to be gone, of the rows that were sent.
func (x *exchange) yield(ctx context.Context, keys [][]byte, passed []below) error {
	for _, b := range passed {
		if b.Batch < 0 || b.Batch >= len(keys) {
			return fmt.Errorf("batch %d of %d: %w", b.Batch, len(keys), ErrMalformedRow)
		}
		if err := x.t.yieldTo(ctx, keys[b.Batch], b.Floor, x.taking); err != nil {
			return err
		}
	}
	return nil
}

// progress is how many rows came whole, and how many parts of the next one.
func (b *batches) progress(skip int) (whole, next int, err error) {
	for _, one := range b.Batches {
		if one.Next == 0 {
			whole++
		} else if next = one.Next; next <= skip {
			return 0, 0, fmt.Errorf("part %d after part %d: %w", next, skip, ErrMalformedRow)
		}
	}
	return whole, next, nil
}

func (b *batches) size() (n int) {
	for _, one := range b.Batches {
		for _, row := range one.Rows {
			n += len(row.Sort) + len(row.Value) + 16
		}
	}
	return n
}

func keysSize(keys [][]byte) (n int) {
	for _, k := range keys {
		n += len(k)
	}
	return n
}
