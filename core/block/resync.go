package block

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"granary/core/cluster"
	"granary/core/job"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

// ResyncJob is what the job that fetches missing blocks is called.
const ResyncJob = "resync"

const (
	// resyncSpeed bounds the bytes per second that resync fetches, unless another speed is set.
	resyncSpeed = 64 << 20
	// resyncTasks is how many blocks are fetched at once, each from one replica.
	resyncTasks = 8
	// resyncBatch is how many of the most urgent blocks are fetched before the queue is looked at again, and
	// surveysBefore, how many pages of the others are surveyed first.
	resyncBatch   = 64
	surveysBefore = 4
	// resyncMin and resyncMax bound the time after which what could not be fetched is asked for again. It
	// doubles while nothing is found.
	resyncMin = 10 * time.Second
	resyncMax = 2 * time.Minute
)

// resync fetches the blocks that are referred to here and not here: those of which fewest copies are left
// first.
type resync struct {
	*backlog
	s       *Store
	retryAt time.Duration
	wait    backOff
	fetched atomic.Int64 // since the last retry
}

func newResync(s *Store, jobs *job.Book) *resync {
	j := jobs.New(ResyncJob, "blocks")
	j.SetSpeed(resyncSpeed)
	return &resync{backlog: newBacklog(s.env, j), s: s, wait: backOff{least: resyncMin, most: resyncMax}}
}

// run works until the node stops. A panic in one step does not end it.
func (q *resync) run(ctx context.Context) error {
	for {
		busy := false
		err := q.job.Gate(ctx)
		if err == nil {
			err = rt.Guard(q.s.env, ResyncJob, func() (err error) { busy, err = q.step(ctx); return err })
		}
		if ctx.Err() != nil {
			return nil
		}
		if !busy || err != nil {
			if q.rest(ctx, err) != nil {
				return nil
			}
		}
	}
}

// step surveys some of the blocks that nothing is known of, and fetches some of the most urgent ones. It
// reports whether there was anything to do.
func (q *resync) step(ctx context.Context) (busy bool, err error) {
	for range surveysBefore {
		page, err := q.s.ranked(rankUnknown, rankUnknown, haveMax)
		if err != nil {
			return false, err
		}
		if len(page) == 0 {
			break
		}
		busy = true
		if err := q.survey(ctx, page); err != nil {
			return true, err
		}
	}
	batch, err := q.s.urgent(resyncBatch)
	if err != nil {
		return false, err
	}
	spoilt := rt.NewFuture[struct{}](q.s.env) // by a disk that is full, say: the rest would come in vain
	err = rt.Each(ctx, q.s.env, ResyncJob, resyncTasks, len(batch), func(ctx context.Context, i int) error {
		if spoilt.Done() {
			return nil
		}
		err := q.fetch(ctx, batch[i])
		if err != nil {
			spoilt.Set(struct{}{}, err)
		}
		return err
	})
	return busy || len(batch) > 0, err
}

// rest waits until there may be something to do: for a while after an error, for the next retry if there is
// something to retry.
func (q *resync) rest(ctx context.Context, failed error) error {
	env := q.s.env
	if failed != nil {
		q.job.Hinder(failed)
		return env.Sleep(ctx, q.wait.take())
	}
	n := q.len()
	if n == 0 {
		q.wait.reset()
		q.retryAt = 0
		q.job.Hinder(nil)
		return q.bell.Park(ctx)
	}
	lost, err := q.s.Nowhere()
	if err != nil {
		return err
	}
	q.job.Hinder(nowhere(lost, n-lost))
	if q.retryAt == 0 {
		q.retryAt = env.Now() + q.wait.take()
	}
	err = q.bell.ParkFor(ctx, q.retryAt-env.Now())
	if !errors.Is(err, rt.ErrTimeout) {
		return err
	}
	if q.fetched.Swap(0) > 0 {
		q.wait.reset()
	}
	q.retryAt = 0
	return q.retry(ctx)
}

// nowhere says that no replica has some blocks, of which some were given up.
func nowhere(lost, givenUp int64) error {
	if lost > 0 {
		return fmt.Errorf("%d blocks: no replica that answers holds them; granary block lost lists them",
			lost)
	}
	return fmt.Errorf("%d blocks were given up; should one turn up it is fetched", givenUp)
}

// retry makes what no replica held unknown again.
func (q *resync) retry(ctx context.Context) error {
	for {
		page, err := q.s.ranked(rankGone, rankNowhere, haveMax)
		if err != nil || len(page) == 0 {
			return err
		}
		err = q.s.kv.Update(ctx, func(w kv.Writer) error {
			for _, h := range page {
				rerank(w, h, rankUnknown)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// survey asks the replicas of blocks which of them they hold, and ranks the blocks by that.
func (q *resync) survey(ctx context.Context, page []Hash) error {
	copies, silent, err := q.s.copies(ctx, page)
	if err != nil {
		return err
	}
	gone := 0
	err = q.s.tables.Change(ctx, func(rows func([]byte) *table.Tx) error {
		for i, h := range page {
			tx := rows(h[:])
			if copies[i] > 0 && q.s.env.Mutant("block: resync in the order of hashes") {
				copies[i] = 1
			}
			if copies[i] > 0 {
				rerank(tx.Records(), h, min(rank(copies[i]), rankMany))
				continue
			}
			live, err := q.s.rows.live(&tx.Reader)
			if err != nil {
				return err
			}
			if live && silent[i] {
				rerank(tx.Records(), h, rankNowhere)
			} else if live {
				q.s.env.Sometimes("every replica lacks a block", true)
				rerank(tx.Records(), h, rankGone)
			} else if was, _ := unwant(tx.Records(), h); was {
				gone++
			}
		}
		return nil
	})
	for range gone {
		q.left()
	}
	return err
}

// fetch brings one block here. That no replica delivers it is no error: it is asked for again later. Errors
// are those of this node.
func (q *resync) fetch(ctx context.Context, h Hash) error {
	s := q.s
	if wanted, err := s.wanted(h); err != nil || !wanted {
		return errors.Join(err, s.withHash(ctx, h, func() error { return s.forget(ctx, h) }))
	}
	view, err := s.topology.View(layout.PrefixOf(h[:]))
	if err != nil {
		return err
	}
	buf, err := s.healing.take(ctx)
	if err != nil {
		return err
	}
	defer buf.Release()
	for _, from := range s.order(view.Targets()) {
		if from == s.env.Self() {
			continue
		}
		stored, err := s.heal(ctx, h, from, buf)
		if err == nil {
			if err = s.restore(ctx, h, stored); err != nil {
				return err
			}
			q.fetched.Add(1)
			s.env.Count("block_resync_total", 1)
			s.env.Count("block_resync_bytes_total", float64(len(stored)))
			s.env.Sometimes("resync brought a block", true)
			return q.job.Pace(ctx, int64(len(stored)))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, ErrNotFound) {
			s.env.Debug("a replica did not deliver a missing block", "block", h,
				"node", s.topology.Describe(from), "err", err)
		}
	}
	s.env.Sometimes("resync found a block nowhere", true)
	return s.kv.Update(ctx, func(w kv.Writer) error { rerank(w, h, rankNowhere); return nil })
}

// heal asks a node for the stored form of a block, and verifies it.
func (s *Store) heal(ctx context.Context, h Hash, from rt.NodeID, buf *Buffer) ([]byte, error) {
	ctx, cancel := s.env.WithTimeout(ctx, getTimeout)
	defer cancel()
	_, body, err := methodGet.CallBody(ctx, s.endpoint, from, &getRequest{Hash: h, Heal: true}, rpc.Body{})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	stored, err := readAll(buf.mem[:0], body)
	if err != nil {
		return nil, err
	}
	return stored, s.former.verify(ctx, stored, h)
}

// wanted reports whether a live reference is here and the block is not.
func (s *Store) wanted(h Hash) (wanted bool, err error) {
	if here, err := s.present(h); err != nil || here {
		return false, err
	}
	err = s.tables.Local(h[:], func(r *table.Reader) error { wanted, err = s.rows.live(r); return err })
	return wanted, err
}

// forget takes a block from the queue that needs not be fetched any more. Under the hash's mutex.
func (s *Store) forget(ctx context.Context, h Hash) error {
	wanted, err := s.wanted(h)
	if err != nil || wanted {
		return err
	}
	was := false
	err = s.kv.Update(ctx, func(w kv.Writer) error { was, _ = unwant(w, h); return nil })
	if err == nil && was {
		s.resync.left()
	}
	return err
}

// restore keeps the stored form of a wanted block, verified, under the mutex of its hash: file, then
// presence.
func (s *Store) restore(ctx context.Context, h Hash, stored []byte) error {
	return s.withHash(ctx, h, func() error {
		if wanted, err := s.wanted(h); err != nil || !wanted {
			return errors.Join(err, s.forget(ctx, h))
		}
		if err := s.disk.Write(ctx, h, stored); err != nil {
			return fmt.Errorf("store block %v: %w", h, err)
		}
		live, was, why := false, false, reasonNew
		err := s.tables.Change(ctx, func(rows func([]byte) *table.Tx) (err error) {
			tx := rows(h[:])
			if live, err = s.rows.live(&tx.Reader); err != nil {
				return err
			}
			was, why = unwant(tx.Records(), h)
			if !live {
				return nil
			}
			return s.here(tx, h, len(stored), why)
		})
		if err != nil {
			return err
		}
		if was {
			s.resync.left()
		}
		if !live {
			return s.disk.Remove(ctx, h)
		}
		if why == reasonLost {
			s.scrub.healed()
		}
		return nil
	})
}

// here notes that a block which was wanted for that reason is here.
func (s *Store) here(tx *table.Tx, h Hash, size int, why reason) error {
	tx.Records().Put(presentKey(h), sizeRecord(size))
	if why != reasonGivenUp {
		return nil
	}
	s.env.Sometimes("a block that was given up turned up", true)
	found, err := s.rows.foundRows(tx.Records(), h)
	if err != nil {
		return err
	}
	return tx.ApplyRows(found)
}

// haveMax is how many blocks one message asks about.
const haveMax = 512

// haveRequest asks which blocks a node holds.
type haveRequest struct {
	Hashes [][]byte `cbor:"1,keyasint"`
}

// haveResponse has one byte per hash: 1 for one that is here.
type haveResponse struct {
	Have []byte `cbor:"1,keyasint"`
}

var methodHave = rpc.NewMethod[haveRequest, haveResponse]("block.have", rpc.Meta)

const haveTimeout = 10 * time.Second

func (s *Store) handleHave(_ context.Context, _ rt.NodeID, req *haveRequest) (*haveResponse, error) {
	hashes, err := hashesOf(req.Hashes, haveMax)
	if err != nil {
		return nil, err
	}
	resp := &haveResponse{Have: make([]byte, len(hashes))}
	return resp, s.kv.View(func(r kv.Reader) error {
		for i, h := range hashes {
			if r.Get(presentKey(h)) != nil {
				resp.Have[i] = 1
			}
		}
		return nil
	})
}

// hashesOf reads the hashes of a request.
func hashesOf(raw [][]byte, most int) ([]Hash, error) {
	if len(raw) > most {
		return nil, fmt.Errorf("%d hashes, at most %d: %w", len(raw), most, rpc.ErrMalformed)
	}
	hashes := make([]Hash, len(raw))
	for i, b := range raw {
		if len(b) != len(Hash{}) {
			return nil, fmt.Errorf("hash of %d bytes: %w", len(b), rpc.ErrMalformed)
		}
		hashes[i] = Hash(b)
	}
	return hashes, nil
}

// copies counts, for each block, the other replicas that hold it, of those that answer, and says whether any
// is silent.
func (s *Store) copies(ctx context.Context, page []Hash) (counts []int, silent []bool, err error) {
	asked, _, err := s.byReplica(page)
	if err != nil {
		return nil, nil, err
	}
	counts, silent = make([]int, len(page)), make([]bool, len(page))
	answers := make([]*haveResponse, len(asked))
	ask := func(ctx context.Context, i int) error {
		req := &haveRequest{}
		for _, at := range asked[i].at {
			req.Hashes = append(req.Hashes, page[at][:])
		}
		ctx, cancel := s.env.WithTimeout(ctx, haveTimeout)
		defer cancel()
		if asked[i].node != s.env.Self() {
			answers[i], _ = methodHave.Call(ctx, s.endpoint, asked[i].node, req) // silence: no copy there
		}
		return nil
	}
	err = rt.Each(ctx, s.env, "resync survey", len(asked), len(asked), ask)
	for i, a := range answers {
		for n, at := range asked[i].at {
			switch {
			case asked[i].node == s.env.Self():
			case a == nil || n >= len(a.Have):
				silent[at] = true
			case a.Have[n] == 1:
				counts[at]++
			}
		}
	}
	return counts, silent, errors.Join(err, ctx.Err())
}

// share is the part of some blocks of which a node is a replica.
type share struct {
	node rt.NodeID
	at   []int // their places among all
	// plan is one that is refused if that of one of them is.
	plan cluster.Plan
}

// byReplica says which blocks each node should hold, ordered by node, and the live sets of each block.
func (s *Store) byReplica(page []Hash) (all []share, views []cluster.View, err error) {
	at := map[rt.NodeID]int{}
	for i, h := range page {
		view, err := s.topology.View(layout.PrefixOf(h[:]))
		if err != nil {
			return nil, nil, err
		}
		views = append(views, view)
		for _, n := range view.Targets() {
			k, known := at[n]
			if !known {
				k = len(all)
				at[n], all = k, append(all, share{node: n, plan: view.Plan()})
			}
			all[k].at = append(all[k].at, i)
			all[k].plan = all[k].plan.Least(view.Plan())
		}
	}
	slices.SortFunc(all, func(a, b share) int { return a.node.Compare(b.node) })
	return all, views, nil
}
