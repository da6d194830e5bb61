package table

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/cluster"
	"granary/core/job"
	"granary/core/layout"
	"granary/core/rpc"
	"granary/core/rt"
)

const (
	// entropyEvery is the mean time between two exchanges of this node with one partner after another.
	entropyEvery = 5 * time.Second
	// hintedEvery is that while a partner is known to have missed something.
	hintedEvery = time.Second
	// entropyBytesPerSecond bounds what exchanges bring and send, in the mean.
	entropyBytesPerSecond = 16 << 20
	// turnMax is how long one partner may keep the others waiting; it goes on at its next turn.
	turnMax = time.Minute
	// backOffMin and backOffMax bound the time after a failed exchange during which its partner is left
	// alone. It doubles with every failure.
	backOffMin = 2 * time.Second
	backOffMax = 30 * time.Second
	// hintsMax bounds the hints on their way to other nodes.
	hintsMax = 64
)

// JobName is what the job of anti-entropy is called.
const JobName = "anti-entropy"

// errTurnOver ends an exchange whose partner's turn is over.
var errTurnOver = errors.New("turn over")

// entropy compares this node's rows with those of its partners, one after another, for ever.
type entropy struct {
	t    *Tables
	job  *job.Job
	lock rt.Locker
	// hinted are the partners that missed a write; failed, those whose last exchanges failed.
	hinted map[rt.NodeID]bool
	failed map[rt.NodeID]failure
	hints  *rt.Semaphore
	turns  []rt.NodeID // of this pass, those to come
}

type failure struct {
	times int
	until time.Duration
}

func newEntropy(t *Tables, jobs *job.Book) *entropy {
	return &entropy{t: t, job: jobs.New(JobName, "partitions compared with their other replicas"),
		lock: t.env.NewLock(), hinted: map[rt.NodeID]bool{}, failed: map[rt.NodeID]failure{},
		hints: rt.NewSemaphore(t.env, hintsMax)}
}

// run makes one exchange after another until the node stops.
func (e *entropy) run(ctx context.Context) error {
	env := e.t.env
	for {
		half := entropyEvery / 2
		if e.anyHinted() {
			half = hintedEvery / 2
		}
		pause := half + time.Duration(env.Rand("table/anti-entropy").Int64N(int64(2*half)))
		if env.Sleep(ctx, pause) != nil || e.job.Gate(ctx) != nil {
			return nil
		}
		// A panic in one exchange must not end them all.
		if err := rt.Guard(env, "anti-entropy", func() error { e.turn(ctx); return nil }); err != nil {
			e.job.Hinder(err)
		}
	}
}

// turn makes the exchange with the next partner.
func (e *entropy) turn(ctx context.Context) {
	shared := e.partners()
	peer, ok := e.next(shared)
	if !ok {
		return
	}
	hinted := e.forget(peer) // what is missed from here on is hinted anew
	over := e.t.env.Now() + turnMax
	done, err := e.t.exchangeSpans(ctx, peer, shared[peer].spans, func(ctx context.Context, bytes int) error {
		if e.t.env.Now() > over {
			return errTurnOver
		}
		wait := time.Duration(bytes) * time.Second / entropyBytesPerSecond
		if err := e.t.env.Sleep(ctx, wait); err != nil {
			return err
		}
		return e.job.Gate(ctx)
	})
	e.count(done)
	if hinted && err != nil || errors.Is(err, errTurnOver) {
		e.hint(peer)
	}
	if errors.Is(err, errTurnOver) {
		err = nil
	}
	e.note(peer, err)
	if err == nil {
		e.job.Add(int64(shared[peer].partitions))
	}
}

func (e *entropy) count(x Exchanged) {
	env := e.t.env
	env.Count("table_entropy_rounds_total", float64(x.Rounds))
	env.Count("table_entropy_bytes_total", float64(x.Bytes))
	env.Count("table_entropy_rows_total", float64(x.Received), "to", "this node")
	env.Count("table_entropy_rows_total", float64(x.Sent), "to", "others")
	env.Sometimes("anti-entropy brought a row", x.Received > 0)
	env.Sometimes("anti-entropy sent a row", x.Sent > 0)
}

// share is what this node holds together with another.
type share struct {
	spans      []Span
	partitions int
}

// partners are the other nodes with what they share with this one: the partitions of which both are replicas
// in live sets, and the full-copy tables with everybody.
func (e *entropy) partners() map[rt.NodeID]*share {
	t, self := e.t, e.t.env.Self()
	all := map[rt.NodeID]*share{}
	full, err := t.topology.FullView()
	if err != nil {
		return all
	}
	spans := t.FullSpans()
	for _, n := range full.Targets() {
		if n != self && len(spans) > 0 {
			all[n] = &share{spans: slices.Clone(spans), partitions: 1}
		}
	}
	t.topology.EachView(func(first, last layout.Prefix, v cluster.View) {
		nodes := v.Targets()
		if !slices.Contains(nodes, self) || t.env.Mutant("anti-entropy: full-copy tables only") {
			return
		}
		for _, n := range nodes {
			if n == self {
				continue
			}
			if all[n] == nil {
				all[n] = &share{}
			}
			all[n].partitions++
			all[n].extend(SpanOf(first, last))
		}
	})
	return all
}

// extend adds a span, to the last one if it continues it.
func (s *share) extend(at Span) {
	if n := len(s.spans); n > 0 && string(s.spans[n-1].Hi) == string(at.Lo) {
		s.spans[n-1].Hi = at.Hi
		return
	}
	s.spans = append(s.spans, at)
}

// next chooses a partner: one that missed something, else the next of this pass; none that is being left
// alone.
func (e *entropy) next(shared map[rt.NodeID]*share) (peer rt.NodeID, ok bool) {
	e.lock.Lock()
	defer e.lock.Unlock()
	ready := func(n rt.NodeID) bool { return shared[n] != nil && e.ready(n) }
	for _, n := range ordered(e.hinted) {
		if ready(n) {
			e.t.env.Sometimes("anti-entropy after a hint", true)
			return n, true
		}
	}
	if len(e.turns) == 0 {
		e.pass(shared)
	}
	for len(e.turns) > 0 {
		n := e.turns[0]
		e.turns = e.turns[1:]
		if ready(n) {
			return n, true
		}
	}
	return peer, false
}

// pass begins a pass over all partners, in random order.
func (e *entropy) pass(shared map[rt.NodeID]*share) {
	total := 0
	e.turns = ordered(shared)
	for _, n := range e.turns {
		total += shared[n].partitions
	}
	e.t.env.Rand("table/anti-entropy").Shuffle(len(e.turns), func(i, j int) {
		e.turns[i], e.turns[j] = e.turns[j], e.turns[i]
	})
	e.job.Begin(int64(total))
}

// ordered are the nodes of a map, by id.
func ordered[V any](m map[rt.NodeID]V) []rt.NodeID {
	ids := make([]rt.NodeID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, rt.NodeID.Compare)
	return ids
}

// note remembers how an exchange ended.
func (e *entropy) note(peer rt.NodeID, err error) {
	e.lock.Lock()
	defer e.lock.Unlock()
	if err == nil {
		delete(e.failed, peer)
		e.job.Hinder(nil)
		return
	}
	f := e.failed[peer]
	f.until = e.t.env.Now() + min(backOffMin<<min(f.times, 10), backOffMax)
	f.times++
	e.failed[peer] = f
	e.job.Hinder(fmt.Errorf("exchange with %s: %w", e.t.topology.Describe(peer), err))
}

// ready reports whether a partner is not being left alone; under the lock.
func (e *entropy) ready(peer rt.NodeID) bool { return e.failed[peer].until <= e.t.env.Now() }

// anyHinted reports whether a partner that missed something can be asked.
func (e *entropy) anyHinted() bool {
	e.lock.Lock()
	defer e.lock.Unlock()
	return slices.ContainsFunc(ordered(e.hinted), e.ready)
}

// hint makes a partner's turn come soon: it missed something.
func (e *entropy) hint(peer rt.NodeID) {
	e.lock.Lock()
	defer e.lock.Unlock()
	e.hinted[peer] = true
}

// forget takes a hint back, if there was one.
func (e *entropy) forget(peer rt.NodeID) (hinted bool) {
	e.lock.Lock()
	defer e.lock.Unlock()
	hinted = e.hinted[peer]
	delete(e.hinted, peer)
	return hinted
}

// hintRequest asks a replica to compare its rows with those of a node that missed a write.
type hintRequest struct {
	Node rt.NodeID `cbor:"1,keyasint"`
}

type hintResponse struct{}

var methodHint = rpc.NewMethod[hintRequest, hintResponse]("table.hint", rpc.Meta)

func (t *Tables) handleHint(_ context.Context, _ rt.NodeID, req *hintRequest) (*hintResponse, error) {
	if _, ok := t.entropy.partners()[req.Node]; ok {
		t.entropy.hint(req.Node)
	}
	return &hintResponse{}, nil
}

// missed follows a write that a replica did not get: whoever else has it compares with that replica soon.
// Only the pair is remembered, so the memory is bounded; what is lost with it is found at the pair's next
// turn.
func (t *Tables) missed(node rt.NodeID, view cluster.View) {
	targets := t.topology.Nearest(view.Targets())
	if slices.Contains(targets, t.env.Self()) {
		if node != t.env.Self() {
			t.entropy.hint(node)
		}
		return
	}
	if !t.entropy.hints.TryAcquire(1) {
		return
	}
	t.group.Go("hint", func(ctx context.Context) error {
		defer t.entropy.hints.Release(1)
		ctx, cancel := t.env.WithTimeout(ctx, WriteTimeout)
		defer cancel()
		for _, n := range targets {
			if n == node {
				continue
			}
			if _, err := methodHint.Call(ctx, t.endpoint, n, &hintRequest{node}); err == nil {
				return nil
			}
		}
		return nil
	})
}
