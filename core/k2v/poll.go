package k2v

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/crdt"
	"granary/core/layout"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

// pollGrace is how long PollRange waits for replicas beyond a read quorum, whose answers keep its marker
// short.
const pollGrace = 50 * time.Millisecond

// PollItem waits until an item's context is newer than seen, and returns the item; an empty context waits
// for its creation. It waits for at most limit; 0 means PollDefault.
//
// Errors: ErrNothingNew when the time is over, ErrTooManyPolls, ErrInvalid; *quorum.Error if too few replicas
// could be asked at the end.
// Cost: two rounds to begin, and one after each change that reaches a replica.
func (s *Store) PollItem(ctx context.Context, k Key, seen crdt.Context, limit time.Duration) (item Item,
	err error) {
	if err := errors.Join(CheckKey("partition key", k.PK), CheckKey("sort key", k.SK)); err != nil {
		return item, err
	}
	p := &poll{holds: func(sk string) bool { return sk == k.SK }}
	err = s.poll(ctx, itemPK(k.Bucket, k.PK), p, limit, func(ctx context.Context) (bool, error) {
		if item, err = s.Read(ctx, k); errors.Is(err, ErrNoSuchItem) {
			return false, nil
		}
		return err == nil && item.Context.Newer(seen), err
	})
	return item, err
}

// poll calls look until it reports that it is done: at first, whenever a sort key changes that p holds,
// and every watchRenew; for at most limit. That a look failed is told only if the last one did.
//
// Errors: those of look, ErrTooManyPolls, ErrNothingNew, ErrInvalid.
func (s *Store) poll(ctx context.Context, pk []byte, p *poll, limit time.Duration,
	look func(context.Context) (done bool, err error)) error {
	if limit == 0 {
		limit = PollDefault
	}
	if limit < PollMin || limit > PollMax {
		return invalid("timeout: %v; want %v to %v", limit, PollMin, PollMax)
	}
	p.wake = s.env.NewWaiter()
	at, err := s.watchers.join(pk, p)
	if err != nil {
		return err
	}
	defer s.watchers.leave(pk, p)
	for ends := s.env.Now() + limit; ; {
		done, err := false, s.watch(ctx, pk, at)
		if err == nil {
			done, err = look(ctx)
		}
		left := ends - s.env.Now()
		switch {
		case done || errors.Is(err, ErrInvalid):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case left <= 0 && err == nil:
			return ErrNothingNew
		case left <= 0:
			return err
		}
		wctx, cancel := s.env.WithTimeout(ctx, min(left, watchRenew))
		if p.wake.Park(wctx) == nil {
			s.env.Sometimes("k2v poll woken", true)
		}
		cancel()
	}
}

// News is what PollRange returns: the items that are new, and the marker that has seen them. More says
// that there were more: ask again with the marker.
type News struct {
	Items  []Item
	Marker string
	More   bool
}

type newsRequest struct {
	PK     []byte       `cbor:"1,keyasint"`
	Prefix string       `cbor:"2,keyasint,omitempty"`
	Start  string       `cbor:"3,keyasint,omitempty"`
	End    string       `cbor:"4,keyasint,omitempty"`
	Marker marker       `cbor:"5,keyasint"`
	Plan   cluster.Plan `cbor:"6,keyasint,omitzero"`
}

type newsResponse struct {
	Actor uint64      `cbor:"1,keyasint"` // of the replica that answers
	Rows  []table.Row `cbor:"2,keyasint,omitempty"`
	Cut   bool        `cbor:"3,keyasint,omitempty"` // there are more
}

var methodNews = rpc.NewMethod[newsRequest, newsResponse]("k2v.news", rpc.Meta)

// newsMax bounds the rows of one answer, in bytes; a single longer one still goes.
const newsMax = 2 << 20

// handleNews returns the items of a range that are new to a marker, as this node's own store has them.
func (s *Store) handleNews(_ context.Context, _ rt.NodeID, req *newsRequest) (*newsResponse, error) {
	resp := &newsResponse{Actor: s.actor}
	start, end := Range{Prefix: req.Prefix, Start: req.Start, End: req.End}.bounds()
	size := 0
	var failed error
	err := s.tables.Local(req.PK, func(r *table.Reader) error {
		if err := cluster.AdmitRead(s.env, r.Records(), req.Plan); err != nil {
			return err
		}
		return s.rows.items.ScanRows(r, start, end, func(row table.Row) bool {
			state, err := stateOf(row)
			if failed = err; err != nil {
				return false
			}
			if !req.Marker.isNew(string(row.Sort), state.Context()) {
				return true
			}
			if size += len(row.Sort) + len(row.Value); len(resp.Rows) > 0 &&
				(size > newsMax || len(resp.Rows) >= PageMax) {
				resp.Cut = true
				return false
			}
			row.Sort, row.Value = slices.Clone(row.Sort), slices.Clone(row.Value)
			resp.Rows = append(resp.Rows, row)
			return true
		})
	})
	return resp, errors.Join(err, failed)
}

// PollRange waits until items of a range are new to a marker, and returns them with the marker that has seen
// them. Without a marker it returns what is there at once. It waits for at most limit; 0 means PollDefault.
//
// An item is told at least once for each state; the same state may be told again. How far behind a poller is
// makes no difference: it gets the present states.
// Errors: those of PollItem. Cost: as PollItem, with a read of the range at the replicas for each look.
func (s *Store) PollRange(ctx context.Context, b bucket.BucketID, pk string, r Range, seen string,
	limit time.Duration) (news News, err error) {
	var m marker
	if err := errors.Join(CheckKey("partition key", pk), r.Check()); err != nil {
		return news, err
	}
	if seen != "" {
		if m, err = parseMarker(seen); err != nil {
			return news, err
		}
	}
	m = m.restrict(r.holds)
	p := &poll{holds: r.holds}
	err = s.poll(ctx, itemPK(b, pk), p, limit, func(ctx context.Context) (bool, error) {
		var next marker
		if news.Items, next, news.More, err = s.news(ctx, itemPK(b, pk), r, m); err != nil {
			return false, err
		}
		if len(news.Items) == 0 && seen != "" {
			return false, nil
		}
		news.Marker, err = next.encode()
		return err == nil, err
	})
	return news, err
}

// news asks the replicas what is new to a marker.
func (s *Store) news(ctx context.Context, pk []byte, r Range, m marker) (items []Item, next marker, more bool,
	err error) {
	view, err := s.topology.View(layout.PrefixOf(pk))
	if err != nil {
		return nil, m, false, err
	}
	req := &newsRequest{PK: pk, Prefix: r.Prefix, Start: r.Start, End: r.End, Marker: m, Plan: view.Plan()}
	found := map[string]crdt.DVVS{}
	err = askReplicas(ctx, s, view, pollGrace, fmt.Sprintf("news of partition %x", pk),
		func(ctx context.Context, to rt.NodeID) (*newsResponse, error) {
			return methodNews.Call(ctx, s.endpoint, to, req)
		}, func(_ rt.NodeID, resp *newsResponse) error {
			told := make([]told, 0, len(resp.Rows))
			for _, row := range resp.Rows {
				state, err := stateOf(row)
				if err != nil {
					return err
				}
				told = append(told, toldOf(string(row.Sort), state.Context()))
				found[string(row.Sort)] = found[string(row.Sort)].Join(state)
			}
			next = next.join(m.mark(resp.Actor, told, !resp.Cut))
			more = more || resp.Cut
			return nil
		})
	if err != nil {
		return nil, m, false, err
	}
	for _, sk := range sortedKeys(found) {
		items = append(items, itemOf([]byte(sk), found[sk]))
	}
	return items, next, more, nil
}
