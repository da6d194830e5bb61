package register

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"granary/core/cluster"
	"granary/core/kv"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
)

const (
	// changeTimeout is the deadline of a change whose context has none.
	changeTimeout = 10 * time.Second
	// pauseMin and pauseMax bound the mean pause before another attempt; it doubles from one to the other.
	pauseMin = 20 * time.Millisecond
	pauseMax = 2 * time.Second
)

// Topology is what registers need to know of the cluster.
type Topology interface {
	// FullView returns the voters.
	FullView() (cluster.View, error)
	// Describe names a node for people.
	Describe(rt.NodeID) string
	// Learn fetches the layout that a node knows.
	Learn(context.Context, rt.NodeID) error
}

// Config is what a node's registers are made of. All fields are needed.
type Config struct {
	Env      rt.Env
	Store    kv.Store
	Topology Topology
	Quorum   *quorum.Engine
	Endpoint *rpc.Endpoint
}

// Registers are one node's way to the registers of its cluster, and its vote. Safe for concurrent use.
type Registers struct {
	env      rt.Env
	store    kv.Store
	topology Topology
	quorum   *quorum.Engine
	endpoint *rpc.Endpoint
}

// New returns a node's registers and registers their methods with the endpoint.
func New(c Config) *Registers {
	r := &Registers{env: c.Env, store: c.Store, topology: c.Topology, quorum: c.Quorum, endpoint: c.Endpoint}
	rpc.Handle(c.Endpoint, methodPrepare, r.handlePrepare)
	rpc.Handle(c.Endpoint, methodAccept, r.handleAccept)
	rpc.Handle(c.Endpoint, methodStates, r.handleStates)
	return r
}

// Change replaces the value of a register by what f makes of it, and returns that once it is decided. now
// is nil while nothing was decided. If f returns an error, Change returns it, and what is there is
// decided; so an answer such as "the name is taken" is final.
//
// Errors: f's; *quorum.Error, which is quorum.ErrUnknown if the value may have been accepted somewhere.
// Rounds: 2; one more pair whenever another change of the same register comes between.
func (r *Registers) Change(ctx context.Context, key string,
	f func(now []byte) ([]byte, error)) (decided []byte, err error) {
	ctx, cancel := r.env.WithTimeout(ctx, changeTimeout)
	defer cancel()
	return (&changing{Registers: r, key: key, pause: pauseMin}).run(ctx, f)
}

// Read returns the value of a register, nil if none was ever decided. Rounds: 1 if a quorum accepted the
// same value last; else that of a Change that changes nothing.
//
// Errors: *quorum.Error.
func (r *Registers) Read(ctx context.Context, key string) ([]byte, error) {
	ctx, cancel := r.env.WithTimeout(ctx, changeTimeout)
	defer cancel()
	c := &changing{Registers: r, key: key, pause: pauseMin, repeatable: true}
	newest, decided, err := c.prepare(ctx, ballot{})
	if err != nil {
		return nil, err
	}
	if decided {
		return newest.Value, nil
	}
	return c.run(ctx, func(now []byte) ([]byte, error) { return now, nil })
}

// Decide returns the value that a register has for good: value, unless another was decided before.
//
// Errors, rounds: as Change.
func (r *Registers) Decide(ctx context.Context, key string, value []byte) ([]byte, error) {
	return r.Change(ctx, key, func(now []byte) ([]byte, error) {
		if now != nil {
			return now, nil
		}
		return value, nil
	})
}

// Carry has every register that this node ever accepted a value of decided among the voters of all live
// layouts. A voter of a set that is given up does that once no change that knows this set alone can come to
// it any more.
//
// Errors: those of Read, codec.ErrCorrupt.
func (r *Registers) Carry(ctx context.Context) error {
	var keys []string
	err := r.Accepted("", func(key string, _ []byte) bool { keys = append(keys, key); return true })
	if r.env.Mutant("layout: registers not carried") {
		return err
	}
	for _, key := range keys {
		if err == nil {
			_, err = r.Read(ctx, key)
		}
	}
	return err
}

var (
	// errOvertaken means that a voter promised, or accepted, a greater ballot.
	errOvertaken = errors.New("overtaken by another change")
	// errSuperseded means that a value went out and another was accepted after it: whether the second one
	// follows the first cannot be told, and a repetition might make the change twice.
	errSuperseded = errors.New("another change came between")
)

// changing is one change under way.
type changing struct {
	*Registers
	key        string
	repeatable bool // it may happen twice
	pause      time.Duration
	round      uint64        // the greatest that was met
	sent       ballot        // with which a value went out last, so that it may be accepted; zero: none did
	last       *quorum.Tally // of the round before
}

// run attempts until it is not overtaken any more.
func (c *changing) run(ctx context.Context, f func([]byte) ([]byte, error)) ([]byte, error) {
	for {
		value, err := c.attempt(ctx, f)
		if !errors.Is(err, errOvertaken) {
			return value, err
		}
		if err := c.rest(ctx); err != nil {
			return nil, c.missed(c.last, err)
		}
	}
}

// attempt tries once, with a ballot above all that were met.
func (c *changing) attempt(ctx context.Context, f func([]byte) ([]byte, error)) ([]byte, error) {
	b := ballot{Round: c.round + 1, Node: c.env.Self()}
	newest, decided, err := c.prepare(ctx, b)
	if err != nil {
		return nil, err
	}
	if newest.Accepted.compare(c.sent) > 0 && c.sent != (ballot{}) && !c.repeatable {
		return nil, c.missed(c.last, errSuperseded)
	}
	value, refused := f(bytes.Clone(newest.Value))
	switch {
	case refused != nil && decided:
		return nil, refused
	case refused != nil:
		value = newest.Value // decide what f judged
	case len(value) > ValueMax:
		return nil, fmt.Errorf("register %.300q: value of %d bytes: want at most %d", c.key, len(value),
			ValueMax)
	}
	if newest.Accepted == (ballot{}) && value == nil {
		return nil, refused // nothing was ever there, and nothing shall be
	}
	if !decided || !bytes.Equal(value, newest.Value) {
		if err := c.accept(ctx, b, value); err != nil {
			return nil, err
		}
	}
	if refused != nil {
		return nil, refused
	}
	return value, nil
}

// prepare asks the voters to promise b, and returns what the newest of them accepted. decided says that a
// quorum accepted just that last, so it is decided already. A zero b asks for no promise.
func (c *changing) prepare(ctx context.Context, b ballot) (newest state, decided bool, err error) {
	accepted := map[rt.NodeID]ballot{}
	view, err := gather(ctx, c, 0, func(ctx context.Context, to rt.NodeID, p cluster.Plan) (*prepareResponse,
		error) {
		return methodPrepare.Call(ctx, c.endpoint, to, &prepareRequest{Key: c.key, Ballot: b, Plan: p})
	}, func(from rt.NodeID, p *prepareResponse) bool {
		c.round = max(c.round, p.State.Promised.Round)
		if b != (ballot{}) && p.State.Promised.compare(b) >= 0 {
			return false
		}
		accepted[from] = p.State.Accepted
		if p.State.Accepted.compare(newest.Accepted) > 0 {
			newest = p.State
		}
		return true
	})
	if err != nil {
		return state{}, false, err
	}
	same := quorum.NewTally(view, false)
	for _, set := range view.Live {
		for _, node := range set.Nodes {
			if at, ok := accepted[node]; ok && at == newest.Accepted {
				same.Add(node, quorum.Answer{Vote: quorum.Stored})
			}
		}
	}
	return newest, same.Verdict(false) == quorum.Acked, nil
}

// accept asks the voters to accept value under b.
func (c *changing) accept(ctx context.Context, b ballot, value []byte) error {
	c.sent = b
	call := func(ctx context.Context, to rt.NodeID, p cluster.Plan) (*acceptResponse, error) {
		req := &acceptRequest{Key: c.key, Ballot: b, Value: value, Plan: p}
		return methodAccept.Call(ctx, c.endpoint, to, req)
	}
	_, err := gather(ctx, c, int64(len(value)), call, func(_ rt.NodeID, a *acceptResponse) bool {
		c.round = max(c.round, a.Promised.Round)
		return a.Promised.compare(b) <= 0
	})
	return err
}

// gather calls all voters, and returns when a quorum of each live set gave an answer that take takes. What
// is outstanding then goes on in the background, each call with about bytes.
//
// Errors: errOvertaken if too many answers were not taken; *quorum.Error if too few came.
func gather[R any](ctx context.Context, c *changing, bytes int64,
	call func(context.Context, rt.NodeID, cluster.Plan) (R, error), take func(rt.NodeID, R) bool) (
	cluster.View, error) {
	view, err := c.topology.FullView()
	if err != nil {
		return view, err
	}
	view.Learners = nil
	round := quorum.Start(c.env.Background(), c.quorum, view.Targets(), 0,
		func(ctx context.Context, to rt.NodeID) (R, error) {
			ctx, cancel := c.env.WithTimeout(ctx, changeTimeout)
			defer cancel()
			return call(ctx, to, view.Plan())
		})
	defer round.Detach(bytes)
	tally := quorum.NewTally(view, false)
	c.last = tally
	overtaken := false
	for {
		reply, err := round.Next(ctx, 0)
		if err != nil {
			return view, c.missed(tally, err)
		}
		switch {
		case reply.Err != nil:
			tally.Add(reply.Node, quorum.Answer{Vote: quorum.Failed, Err: reply.Err})
		case take(reply.Node, reply.Value):
			tally.Add(reply.Node, quorum.Answer{Vote: quorum.Stored})
		default:
			overtaken = true
			tally.Add(reply.Node, quorum.Answer{Vote: quorum.Refused, Err: errOvertaken})
		}
		switch verdict := tally.Verdict(false); {
		case verdict == quorum.Acked && !quorum.InTime(c.env, ctx):
			return view, c.missed(tally, context.DeadlineExceeded)
		case verdict == quorum.Acked:
			return view, nil
		case verdict == quorum.Exhausted && overtaken:
			return view, errOvertaken
		case verdict == quorum.Exhausted && c.replanned(ctx, view, tally):
			return view, errOvertaken // by a layout: again, among its voters
		case verdict == quorum.Exhausted:
			return view, c.missed(tally, nil)
		}
	}
}

// replanned learns the layout of a voter that refused what was planned with an older one, and reports whether
// the voters are others now.
func (c *changing) replanned(ctx context.Context, view cluster.View, tally *quorum.Tally) bool {
	if !quorum.Learn(ctx, c.topology, tally.Failures()) {
		return false
	}
	now, err := c.topology.FullView()
	return err == nil && now.Plan() != view.Plan()
}

// missed explains what was missed. Unless a value was sent, nothing can have changed.
func (c *changing) missed(tally *quorum.Tally, cause error) error {
	c.quorum.Missed("register")
	sent := c.sent != (ballot{})
	e := tally.Missed(fmt.Sprintf("register %q", c.key), c.topology.Describe, sent)
	e.Op, e.Unknown = "change", sent
	if cause != nil && len(e.Causes) == 0 {
		e.Causes = append(e.Causes, quorum.Cause{Node: "this node", Err: cause})
	}
	return e
}

// rest waits for a random time before the next attempt, longer each time, so that of several changes of one
// register one gets through.
func (c *changing) rest(ctx context.Context) error {
	pause := c.pause/2 + time.Duration(c.env.Rand("register/rest").Int64N(int64(c.pause)))
	c.pause = min(2*c.pause, pauseMax)
	return c.env.Sleep(ctx, pause)
}
