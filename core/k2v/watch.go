package k2v

import (
	"context"
	"errors"
	"slices"
	"time"

	"granary/core/cluster"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

// Times and limits of watching.
const (
	// watchLease is how long a replica tells a node about changes without being asked again.
	watchLease = 30 * time.Second
	// watchRenew is how often the node asks again. A poll that was told nothing looks by itself as often, so
	// that a message lost costs that much time and nothing else.
	watchRenew = 10 * time.Second
	// watchesMax bounds the partition keys that a replica watches for others.
	watchesMax = 100_000
	// notifyTimeout bounds one message about changes.
	notifyTimeout = 5 * time.Second
	// notifyMax is the most changed items that one message names; more are told as "all".
	notifyMax = 1000
)

// watchRequest asks a replica to tell about changes of a partition key for watchLease.
type watchRequest struct {
	PK []byte `cbor:"1,keyasint"`
}

type watchResponse struct{}

// notifyRequest says which items of a partition key changed.
type notifyRequest struct {
	PK    []byte   `cbor:"1,keyasint"`
	Sorts [][]byte `cbor:"2,keyasint,omitempty"`
	All   bool     `cbor:"3,keyasint,omitempty"`
}

type notifyResponse struct{}

var (
	methodWatch  = rpc.NewMethod[watchRequest, watchResponse]("k2v.watch", rpc.Meta)
	methodNotify = rpc.NewMethod[notifyRequest, notifyResponse]("k2v.notify", rpc.Meta)
)

// errTooManyWatches is the answer of a replica that watches enough.
var errTooManyWatches = rpc.RegisterError("k2v.watches", errors.New("too many partitions watched"))

// watched is the replica's side: who wants to know about which partition keys.
type watched struct {
	env  rt.Env
	lock rt.Locker
	most int // of pks
	pks  map[string][]lease
	out  map[rt.NodeID]*outbox
}

type lease struct {
	node rt.NodeID
	ends time.Duration // on the monotonic clock
}

// outbox is what a node has not been told yet, in order of the first change.
type outbox struct {
	order []string
	news  map[string]*notifyRequest
	seen  map[string]map[string]bool
}

func newWatched(env rt.Env) *watched {
	return &watched{env: env, lock: env.NewLock(), most: watchesMax, pks: map[string][]lease{},
		out: map[rt.NodeID]*outbox{}}
}

func (s *Store) handleWatch(_ context.Context, from rt.NodeID, req *watchRequest) (*watchResponse, error) {
	w := s.watched
	now := s.env.Now()
	w.lock.Lock()
	defer w.lock.Unlock()
	had, known := w.pks[string(req.PK)]
	leases := slices.DeleteFunc(had,
		func(l lease) bool { return l.node == from || l.ends < now })
	if !known && len(w.pks) >= w.most {
		if w.sweep(now); len(w.pks) >= w.most {
			return nil, errTooManyWatches
		}
	}
	w.pks[string(req.PK)] = append(leases, lease{from, now + watchLease})
	return nil, nil
}

// sweep forgets the partition keys whose leases are all over; under the lock.
func (w *watched) sweep(now time.Duration) {
	for pk, leases := range w.pks { //det:ok the keys are deleted, in any order
		if !slices.ContainsFunc(leases, func(l lease) bool { return l.ends >= now }) {
			delete(w.pks, pk)
		}
	}
}

// changed tells those who watch about an item that has changed here, durably.
func (s *Store) changed(at table.Address) {
	if s.env.Mutant("k2v changes wake no poll") {
		return
	}
	w := s.watched
	now := s.env.Now()
	w.lock.Lock()
	leases := slices.DeleteFunc(w.pks[string(at.PK)], func(l lease) bool { return l.ends < now })
	if len(leases) == 0 {
		delete(w.pks, string(at.PK))
	} else {
		w.pks[string(at.PK)] = leases
	}
	var idle []rt.NodeID
	for _, l := range leases {
		if w.put(l.node, at) {
			idle = append(idle, l.node)
		}
	}
	w.lock.Unlock()
	for _, node := range idle {
		s.group.Go("k2v notify", func(ctx context.Context) error { return s.tell(ctx, node) })
	}
}

// put adds a change to a node's outbox and reports whether nobody empties it.
func (w *watched) put(node rt.NodeID, at table.Address) (idle bool) {
	box := w.out[node]
	if idle = box == nil; idle {
		box = &outbox{news: map[string]*notifyRequest{}, seen: map[string]map[string]bool{}}
		w.out[node] = box
	}
	pk, sort := string(at.PK), string(at.Sort)
	n := box.news[pk]
	if n == nil {
		n = &notifyRequest{PK: []byte(pk)}
		box.news[pk], box.seen[pk] = n, map[string]bool{}
		box.order = append(box.order, pk)
	}
	switch {
	case n.All || box.seen[pk][sort]:
	case len(n.Sorts) == notifyMax:
		n.All, n.Sorts, box.seen[pk] = true, nil, nil
	default:
		n.Sorts, box.seen[pk][sort] = append(n.Sorts, []byte(sort)), true
	}
	return idle
}

// tell empties a node's outbox. What cannot be delivered is dropped: polls look by themselves now and then.
func (s *Store) tell(ctx context.Context, node rt.NodeID) error {
	w := s.watched
	for {
		w.lock.Lock()
		box := w.out[node]
		if len(box.order) == 0 {
			delete(w.out, node)
			w.lock.Unlock()
			return nil
		}
		pk := box.order[0]
		n := box.news[pk]
		box.order = box.order[1:]
		delete(box.news, pk)
		delete(box.seen, pk)
		w.lock.Unlock()
		nctx, cancel := s.env.WithTimeout(ctx, notifyTimeout)
		_, err := methodNotify.Call(nctx, s.endpoint, node, n)
		cancel()
		if err != nil {
			s.env.Sometimes("k2v notification lost", true)
		}
	}
}

// watchers is the polling node's side: who waits here for changes of which partition keys.
type watchers struct {
	env   rt.Env
	lock  rt.Locker
	count int
	pks   map[string]*watcher
}

// watcher is the polls on one partition key, which share its leases.
type watcher struct {
	polls   []*poll // under the lock of watchers
	renew   *rt.Mutex
	renewed time.Duration // when the leases began, 0 for never; under renew
}

// poll is one that waits.
type poll struct {
	holds func(sk string) bool
	wake  rt.Waiter // its token: something changed
}

func newWatchers(env rt.Env) *watchers {
	return &watchers{env: env, lock: env.NewLock(), pks: map[string]*watcher{}}
}

func (w *watchers) waiting() int {
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.count
}

func (s *Store) handleNotify(_ context.Context, _ rt.NodeID, req *notifyRequest) (*notifyResponse, error) {
	w := s.watchers
	w.lock.Lock()
	defer w.lock.Unlock()
	if at := w.pks[string(req.PK)]; at != nil {
		for _, p := range at.polls {
			if req.All || p.wants(req.Sorts) {
				p.rouse()
			}
		}
	}
	return nil, nil
}

func (p *poll) wants(sorts [][]byte) bool {
	return slices.ContainsFunc(sorts, func(sort []byte) bool { return p.holds(string(sort)) })
}

// rouse leaves a token for the poll, one at most.
func (p *poll) rouse() { p.wake.Unpark() }

// join adds a poll.
func (w *watchers) join(pk []byte, p *poll) (*watcher, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	if w.count >= PollsMax {
		return nil, ErrTooManyPolls
	}
	w.count++
	at := w.pks[string(pk)]
	if at == nil {
		at = &watcher{renew: rt.NewMutex(w.env)}
		w.pks[string(pk)] = at
	}
	at.polls = append(at.polls, p)
	return at, nil
}

func (w *watchers) leave(pk []byte, p *poll) {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.count--
	at := w.pks[string(pk)]
	i := slices.Index(at.polls, p)
	at.polls = slices.Delete(at.polls, i, i+1)
	if len(at.polls) == 0 {
		delete(w.pks, string(pk))
	}
}

// watch sees to it that enough replicas tell this node about changes of a partition key: a read quorum, which
// every write quorum meets.
func (s *Store) watch(ctx context.Context, pk []byte, at *watcher) error {
	if err := at.renew.Lock(ctx); err != nil {
		return err
	}
	defer at.renew.Unlock()
	if at.renewed > 0 && s.env.Now()-at.renewed < watchRenew {
		return nil
	}
	view, err := s.topology.View(layout.PrefixOf(pk))
	if err != nil {
		return err
	}
	now := s.env.Now()
	err = askReplicas(ctx, s, view, 0, "watch", func(ctx context.Context, to rt.NodeID) (*watchResponse,
		error) {
		return methodWatch.Call(ctx, s.endpoint, to, &watchRequest{PK: pk})
	}, func(rt.NodeID, *watchResponse) error { return nil })
	if err == nil {
		at.renewed = now
	}
	return err
}

// askReplicas makes a round over the read set and gives the answers of a read quorum, and those that come
// within grace after it, to take; one that take refuses does not count.
//
// Errors: *quorum.Error.
func askReplicas[R any](ctx context.Context, s *Store, view cluster.View, grace time.Duration, subject string,
	call func(context.Context, rt.NodeID) (R, error), take func(rt.NodeID, R) error) error {
	ctx, cancel := s.env.WithTimeout(ctx, table.ReadTimeout)
	defer cancel()
	set := view.ReadSet()
	round := quorum.Start(ctx, s.quorum, s.topology.Nearest(set.Nodes), 0, call)
	defer round.Close()
	missed := &quorum.Error{Op: "read", Subject: subject, Need: set.Read, Of: len(set.Nodes)}
	for missed.Got < len(set.Nodes) {
		wait := time.Duration(0)
		if missed.Got >= set.Read {
			if wait = grace; grace == 0 {
				return nil
			}
		}
		reply, err := round.Next(ctx, wait)
		switch {
		case err != nil && missed.Got >= set.Read:
			return nil
		case err != nil:
			s.quorum.Missed("k2v poll")
			missed.Causes = append(missed.Causes, quorum.Cause{Node: "this node", Err: err})
			return missed
		case reply.Err == nil:
			reply.Err = take(reply.Node, reply.Value)
		}
		switch {
		case reply.Err == nil:
			missed.Got++
			continue
		case errors.Is(reply.Err, cluster.ErrOldLayout):
			_ = s.topology.Learn(ctx, reply.Node) // for the next attempt
		}
		missed.Causes = append(missed.Causes,
			quorum.Cause{Node: s.topology.Describe(reply.Node), Err: reply.Err})
		if missed.Got+round.Left() < set.Read {
			s.quorum.Missed("k2v poll")
			return missed
		}
	}
	return nil
}
