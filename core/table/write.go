package table

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/cluster"
	"granary/core/hlc"
	"granary/core/kv"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
)

// WriteTimeout is the deadline of a write whose context has none, and the longest any write may have.
const WriteTimeout = 10 * time.Second

// Item is the part of a write that is acknowledged, or not, by itself.
type Item struct {
	// Voted makes the rows that depend on the stamp, the voted one last; it may be called more than once. nil
	// if the item is not voted on.
	Voted func(hlc.Stamp) ([]Row, error)
	// Unvoted says that none of those rows is voted on: the stamp is only not to be too old.
	Unvoted bool
	// With are unvoted rows of the same partition key, stored in the same transaction.
	With []Row
}

// voted reports whether replicas vote on the item.
func (i *Item) voted() bool { return i.Voted != nil && !i.Unvoted }

// Write is a row batch: items of one partition key, sent to each replica by one RPC.
type Write struct {
	// Subject names the write in errors.
	Subject string
	PK      []byte
	Items   []Item
	// Full says that the rows are of full-copy tables.
	Full bool
	// Merge says that replicas may not refuse the rows, nor vote on them: they state what is known already.
	Merge bool
	// Back says that the rows were found at replicas in sync, and are to be at others too. Who answers late
	// then knows that they are gone.
	Back bool
	// Ahead, if not nil, says that the write is sent before what it refers to is durable.
	Ahead *Ahead
}

// Result is the outcome of one item. Its stamp is that of the voted row as acknowledged.
type Result struct {
	Stamp hlc.Stamp
	Err   error
}

// Refusal is a replica's refusal of a write, from a table's Admit hook: every replica that knows the reason
// answers the same.
type Refusal struct {
	Code string // stable, for programs
	Msg  string // for people
}

func (r *Refusal) Error() string { return r.Msg }

// Is matches a Refusal of the same code.
func (r *Refusal) Is(target error) bool {
	o, ok := target.(*Refusal)
	return ok && o.Code == r.Code
}

type writeRequest struct {
	PK    []byte  `cbor:"1,keyasint"`
	Items [][]Row `cbor:"2,keyasint"` // per item, the voted row last if there is one
	// Merge marks rows brought by repair: no votes, no refusals.
	Merge bool `cbor:"3,keyasint,omitempty"`
	// Over is the newest head that a stamp of the batch was made to exceed: accepted somewhere, so no clock's
	// error.
	Over hlc.Stamp `cbor:"4,keyasint,omitempty"`
	// Plan is what the coordinator knew of the layouts.
	Plan cluster.Plan `cbor:"5,keyasint,omitzero"`
	// Back marks rows that a reader found at replicas in sync, and brings to others.
	Back bool `cbor:"6,keyasint,omitempty"`
}

type writeResponse struct {
	Answers []wireAnswer `cbor:"1,keyasint,omitempty"` // per item
}

type wireAnswer struct {
	Vote wireVote  `cbor:"1,keyasint"`
	Head hlc.Stamp `cbor:"2,keyasint,omitempty"`
	Code string    `cbor:"3,keyasint,omitempty"`
	Msg  string    `cbor:"4,keyasint,omitempty"`
}

// wireVote is a vote on the wire: its place in wireVotes.
type wireVote uint8

// wireVotes only ever grows, at its end.
var wireVotes = []quorum.Vote{quorum.Failed, quorum.Refused, quorum.Stored, quorum.Behind, quorum.Clean,
	quorum.Late}

func onWire(v quorum.Vote) wireVote { return wireVote(slices.Index(wireVotes, v)) }

// vote is Failed for one of a later version.
func (v wireVote) vote() quorum.Vote {
	if int(v) < len(wireVotes) {
		return wireVotes[v]
	}
	return quorum.Failed
}

var methodWrite = rpc.NewMethod[writeRequest, writeResponse]("table.write", rpc.Meta)

// handleWrite applies a row batch in one local transaction.
func (t *Tables) handleWrite(ctx context.Context, _ rt.NodeID, req *writeRequest) (*writeResponse, error) {
	if len(req.Items) == 0 || len(req.PK) == 0 {
		return nil, fmt.Errorf("empty row batch: %w", ErrMalformedRow)
	}
	resp := &writeResponse{Answers: make([]wireAnswer, len(req.Items))}
	var tx Tx
	if !req.Merge {
		tx.stampMax = max(t.clock.Wall(), t.clock.Last(), req.Over).Add(hlc.SkewMax)
	}
	tx.back = req.Back
	var after []func()
	inSync := true
	err := t.store.Update(ctx, func(w kv.Writer) (err error) {
		if inSync, err = cluster.AdmitWrite(t.env, w, req.Plan); err != nil {
			return err
		}
		if !inSync {
			tx.late = t.lateUnsynced()
		}
		return t.applyBatch(w, req, tx, resp, &after)
	})
	err = finish(after, err)
	var refusal *Refusal
	var passed *passedOver
	switch {
	case errors.As(err, &refusal):
		resp.Answers[0], err = refused(refusal), nil
	case errors.As(err, &passed):
		resp.Answers[0], err = passed.answer(), nil
	}
	if err != nil {
		return nil, err
	}
	if !inSync {
		resp.abstain()
	}
	return resp, nil
}

// abstain takes back the votes that a replica which does not know everything cannot cast.
func (r *writeResponse) abstain() {
	for i := range r.Answers {
		if a := &r.Answers[i]; a.Vote.vote() == quorum.Clean {
			a.Vote = onWire(quorum.Stored)
		}
	}
}

func refused(r *Refusal) wireAnswer {
	return wireAnswer{Vote: onWire(quorum.Refused), Code: r.Code, Msg: r.Msg}
}

// applyBatch applies every item by itself, as like says: one that is refused, or passed over, changes
// nothing. A batch of one item returns why, which takes the transaction back; of more, such items are undone
// inside it.
func (t *Tables) applyBatch(w kv.Writer, req *writeRequest, like Tx, resp *writeResponse,
	after *[]func()) error {
	for i, rows := range req.Items {
		tx := t.txOn(w, req.PK, after)
		tx.stampMax, tx.back, tx.late = like.stampMax, like.back, like.late
		var undo *undoWriter
		if len(req.Items) > 1 {
			undo = &undoWriter{Writer: w}
			tx.w = undo
		}
		answer, err := tx.applyItem(rows)
		var refusal *Refusal
		var passed *passedOver
		switch {
		case undo == nil:
		case errors.As(err, &refusal):
			undo.rollback()
			answer, err = refused(refusal), nil
		case errors.As(err, &passed):
			undo.rollback()
			answer, err = passed.answer(), nil
		}
		if err != nil {
			return err
		}
		resp.Answers[i] = answer
	}
	return nil
}

// applyItem merges the rows of an item; its answer is that of the voted row. Parts come first, so that the
// rows they belong to find them.
func (tx *Tx) applyItem(rows []Row) (wireAnswer, error) {
	answer := wireAnswer{Vote: onWire(quorum.Stored)}
	for _, parts := range []bool{true, false} {
		for _, row := range rows {
			s, err := tx.registry.schema(row.Table)
			if err != nil {
				return answer, err
			}
			if s.derived() != parts {
				continue
			}
			if err := tx.applyRow(s, row, &answer); err != nil {
				return answer, err
			}
		}
	}
	return answer, nil
}

func (tx *Tx) applyRow(s schema, row Row, answer *wireAnswer) error {
	if _, name, n := s.describe(); len(tx.pk) != n {
		return fmt.Errorf("table %s: partition key of %d bytes, want %d: %w", name, len(tx.pk), n,
			ErrMalformedRow)
	}
	b, err := s.apply(tx, Address{tx.pk, row.Sort}, row.Value)
	if err != nil {
		return err
	}
	if s.voted() && b.vote != quorum.Stored {
		answer.Vote, answer.Head = onWire(b.vote), b.head
	}
	return nil
}

// parting is how long after its deadline a write may take to say what it missed.
const parting = 100 * time.Millisecond

// Write sends the batch to every replica of every live set and returns, per item, when its fate is decided.
// It goes on when ctx ends, up to the deadline ctx had, so that a client that hangs up leaves no half-sent
// write; the result is then reported as unknown. An item's error is nil, a *Refusal, a *quorum.Error, or why
// nothing was sent at all.
func (t *Tables) Write(ctx context.Context, w Write) []Result {
	limit, err := WriteTimeout, ctx.Err()
	if d, ok := t.env.Remaining(ctx); ok {
		limit = min(limit, d)
	}
	if err == nil && limit <= 0 {
		err = context.DeadlineExceeded
	}
	if err != nil {
		return t.undecided(w, err, false)
	}
	done := rt.NewFuture[[]Result](t.env)
	t.group.Go("table write", func(node context.Context) error {
		if t.env.Mutant("write ends with its client") {
			node = ctx
		}
		wctx, cancel := t.env.WithTimeout(WithConsistency(node, ConsistencyOf(ctx)), limit)
		defer cancel()
		var results []Result
		err := rt.Guard(t.env, "table write", func() error { results = t.write(wctx, w); return nil })
		done.Set(results, err)
		return nil
	})
	results, err := done.Get(ctx)
	if errors.Is(err, context.DeadlineExceeded) { // the write's deadline too; it knows better what was missed
		last, cancel := t.env.WithTimeout(t.env.Background(), parting)
		defer cancel()
		results, err = done.Get(last)
	}
	if err != nil {
		return t.undecided(w, err, true)
	}
	return results
}

// undecided is the outcome of a write that was given up by this node itself.
func (t *Tables) undecided(w Write, why error, unknown bool) []Result {
	results := make([]Result, len(w.Items))
	for i := range results {
		results[i].Err = &quorum.Error{Op: "write", Subject: w.Subject, Unknown: unknown,
			Causes: []quorum.Cause{{Node: "this node", Err: why}}}
	}
	return results
}

// WriteOne is Write for a single item.
func (t *Tables) WriteOne(ctx context.Context, w Write) (hlc.Stamp, error) {
	r := t.Write(ctx, w)[0]
	return r.Stamp, r.Err
}

func (t *Tables) write(ctx context.Context, w Write) []Result {
	results := make([]Result, len(w.Items))
	pending := make([]int, len(w.Items))
	for i := range pending {
		pending[i] = i
	}
	var over hlc.Stamp
	for earlier := false; len(pending) > 0; earlier = true {
		view, stamp, req, err := t.prepare(ctx, w, pending, over)
		if err != nil {
			if earlier {
				err = t.undecided(w, err, true)[0].Err
			}
			for _, i := range pending {
				results[i].Err = err
			}
			return results
		}
		pending, over = t.attempt(ctx, attempt{w, view, req, stamp, earlier}, pending, results)
	}
	return results
}

// prepare makes what one attempt at the pending items sends, and to whom.
func (t *Tables) prepare(ctx context.Context, w Write, pending []int, over hlc.Stamp) (view cluster.View,
	stamp hlc.Stamp, req *writeRequest, err error) {
	if view, err = t.viewOf(w); err != nil {
		return view, 0, nil, err
	}
	if stamp, err = t.clock.After(ctx, over); err != nil {
		return view, 0, nil, err
	}
	if req, err = w.request(pending, stamp); err == nil {
		req.Over, req.Plan = over, view.Plan()
	}
	return view, stamp, req, err
}

// request makes the batch of the pending items for a stamp. An item's voted row comes last, so that its hooks
// see the rows that belong to it.
func (w Write) request(pending []int, stamp hlc.Stamp) (*writeRequest, error) {
	req := &writeRequest{PK: w.PK, Items: make([][]Row, len(pending)), Merge: w.Merge, Back: w.Back}
	for n, i := range pending {
		item := w.Items[i]
		rows := append(make([]Row, 0, 1+len(item.With)), item.With...)
		if item.Voted != nil {
			stamped, err := item.Voted(stamp)
			if err != nil {
				return nil, err
			}
			rows = append(rows, stamped...)
		}
		req.Items[n] = rows
	}
	return req, nil
}

func (r *writeRequest) size() (n int64) {
	for _, rows := range r.Items {
		for _, row := range rows {
			n += int64(len(row.Value) + len(row.Sort) + 16)
		}
	}
	return n
}

// attempt is one stamp's worth of a write.
type attempt struct {
	Write
	view    cluster.View
	req     *writeRequest
	stamp   hlc.Stamp
	earlier bool // it follows another
}

// attempt broadcasts an attempt and fills in the results that are decided. It returns the items that must be
// stamped anew, and the newest head that stood in their way.
func (t *Tables) attempt(ctx context.Context, a attempt, pending []int, results []Result) (again []int,
	over hlc.Stamp) {
	tallies := t.broadcast(ctx, &a, pending)
	for n, i := range pending {
		switch verdict := tallies[n].Verdict(true); {
		case verdict == quorum.Acked && quorum.InTime(t.env, ctx):
			results[i] = Result{Stamp: a.stamp}
		case verdict == quorum.Restamp && ctx.Err() == nil && a.Items[i].Voted != nil:
			t.env.Sometimes("write stamped anew", true)
			over = max(over, tallies[n].Head())
			again = append(again, i)
		default:
			results[i] = Result{Stamp: a.stamp, Err: t.writeError(a, tallies[n])}
		}
	}
	return again, over
}

// broadcast sends an attempt to all replicas and returns how each pending item was answered. If replicas
// refuse it as planned with an old layout, and that decides, it learns theirs and sends the same, with the
// same stamp, to the sets that are live then.
func (t *Tables) broadcast(ctx context.Context, a *attempt, pending []int) []*quorum.Tally {
	// What a monotonic read may have seen must not be stamped anew.
	monotonic := ConsistencyOf(ctx) == Monotonic && !t.env.Mutant("monotonic: hurried stamp")
	for {
		tallies := make([]*quorum.Tally, len(pending))
		for n, i := range pending {
			tallies[n] = quorum.NewTally(a.view, a.Items[i].voted())
			if monotonic {
				tallies[n].Certain()
			}
		}
		targets, view, req := a.view.Targets(), a.view, a.req
		send := t.sending(a, len(targets))
		round := quorum.Start(t.env.Background(), t.quorum, t.topology.Nearest(targets), 0,
			func(ctx context.Context, to rt.NodeID) (*writeResponse, error) {
				ctx, cancel := t.env.WithTimeout(ctx, WriteTimeout)
				defer cancel()
				resp, err := send(ctx, to, req)
				if err != nil {
					t.missed(to, view)
				}
				return resp, err
			})
		t.collect(ctx, round, tallies, t.topology.Patience(targets), a.Ahead != nil)
		round.Detach(req.size())
		if acked(tallies) || !t.replan(ctx, a, tallies[0].Failures()) {
			return tallies
		}
	}
}

// sending is how an attempt is brought to each of so many replicas.
func (t *Tables) sending(a *attempt, replicas int) func(context.Context, rt.NodeID,
	*writeRequest) (*writeResponse, error) {
	if a.Ahead != nil {
		return t.hasten(a.Ahead, replicas).send
	}
	return func(ctx context.Context, to rt.NodeID, req *writeRequest) (*writeResponse, error) {
		return methodWrite.Call(ctx, t.endpoint, to, req)
	}
}

func acked(tallies []*quorum.Tally) bool {
	for _, tally := range tallies {
		if tally.Verdict(false) != quorum.Acked {
			return false
		}
	}
	return true
}

// replan plans an attempt with the layout of a replica that refused it, and reports whether that is another.
func (t *Tables) replan(ctx context.Context, a *attempt, fails []quorum.Failure) bool {
	if !quorum.Learn(ctx, t.topology, fails) {
		return false
	}
	view, err := t.viewOf(a.Write)
	if err != nil || view.Plan() == a.view.Plan() {
		return false
	}
	again := *a.req
	again.Plan = view.Plan()
	a.view, a.req, a.earlier = view, &again, true
	t.env.Sometimes("write planned anew with a newer layout", true)
	return true
}

// collect takes replies until every tally is decided, none is outstanding, or ctx ends. After a silence of
// patience it stops waiting for replicas that could only confirm that a stamp was too old. With exact it does
// not give up before all have answered: the caller would rather know that nothing happened.
func (t *Tables) collect(ctx context.Context, round *quorum.Round[*writeResponse], tallies []*quorum.Tally,
	patience time.Duration, exact bool) {
	hurried := false
	for !decided(tallies, hurried, exact) {
		wait := patience
		if hurried {
			wait = 0
		}
		reply, err := round.Next(ctx, wait)
		if errors.Is(err, rt.ErrTimeout) {
			hurried = true
			continue
		}
		if err != nil {
			return
		}
		for n, tally := range tallies {
			answer := answerOf(reply, n)
			t.env.Sometimes("a replica answered late", answer.Vote == quorum.Late)
			t.env.Sometimes("a replica answered behind", answer.Vote == quorum.Behind)
			if answer.Vote == quorum.Behind && t.env.Mutant("behind counts as clean") {
				answer.Vote = quorum.Clean
			}
			tally.Add(reply.Node, answer)
		}
	}
}

func decided(tallies []*quorum.Tally, hurried, exact bool) bool {
	for _, tally := range tallies {
		switch v := tally.Verdict(hurried); {
		case v == quorum.Waiting, v == quorum.Exhausted && exact:
			return false
		}
	}
	return true
}

// certain reports whether a call that failed with err certainly did nothing, and never will.
func certain(err error) bool {
	return errors.Is(err, rpc.ErrUnsent) || errors.Is(err, ErrFull) || errors.Is(err, cluster.ErrOldLayout) ||
		errors.Is(err, ErrUnmet)
}

func answerOf(reply quorum.Reply[*writeResponse], n int) quorum.Answer {
	if reply.Err != nil && certain(reply.Err) {
		return quorum.Answer{Vote: quorum.Refused, Err: reply.Err}
	}
	if reply.Err != nil {
		return quorum.Answer{Vote: quorum.Failed, Err: reply.Err}
	}
	if n >= len(reply.Value.Answers) {
		return quorum.Answer{Vote: quorum.Failed, Err: fmt.Errorf("answer lacks item %d: %w", n,
			ErrMalformedRow)}
	}
	a := reply.Value.Answers[n]
	answer := quorum.Answer{Vote: a.Vote.vote(), Head: a.Head}
	if answer.Vote == quorum.Refused {
		answer.Err = &Refusal{Code: a.Code, Msg: a.Msg}
	}
	return answer
}

// writeError explains a write that was not acknowledged: the refusal if replicas refused it, else the missed
// quorum or deadline.
func (t *Tables) writeError(a attempt, tally *quorum.Tally) error {
	for _, f := range tally.Failures() {
		var refusal *Refusal
		if errors.As(f.Err, &refusal) {
			return refusal
		}
	}
	t.quorum.Missed("write")
	err := tally.Missed(a.Subject, t.topology.Describe, a.earlier)
	if err.Of == 0 { // enough answered, too late
		err.Causes = append(err.Causes, quorum.Cause{Node: "this node", Err: context.DeadlineExceeded})
	}
	err.Unknown = err.Unknown && !t.env.Mutant("unknown outcome told as failure")
	return err
}
