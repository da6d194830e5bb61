package s3lat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Store is where requests go: one bucket of an endpoint. It belongs to one goroutine, and keeps connections
// open between requests.
type Store interface {
	// Do makes one request and returns what it took. Key and size are those of the object, if there is one;
	// what is read must be as long as it was written, and ListObjects lists what Listed says.
	Do(ctx context.Context, op Operation, key string, size int64) (Took, error)
}

// Took is what one request took.
type Took struct {
	Whole time.Duration
	// Part is the time of GetFirstByte within GetObject and of PutLastByte within PutObject.
	Part time.Duration
}

// Sleep waits, in the time of the world that is measured.
type Sleep func(ctx context.Context, d time.Duration) error

// RealSleep is the Sleep of the real world.
func RealSleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Plan is what Measure does. Every field must be set but Idle.
type Plan struct {
	Count int   // requests of each operation
	Warm  int   // objects that are put, read and removed before, and listings made, unmeasured
	Size  int64 // bytes of each object
	Idle  time.Duration
	// Operations are those to be measured, of ListBuckets, ListObjects, GetObject, PutObject and
	// RemoveObject. The others are made too where objects must be written and removed, without rest and
	// unmeasured.
	Operations []Operation
}

// Whole are the requests, each of which is measured as a whole.
var Whole = []Operation{PutObject, GetObject, ListObjects, ListBuckets, RemoveObject}

// Validate reports every fault at once.
func (p Plan) Validate() error {
	var faults []error
	if p.Count < 1 || p.Warm < 0 || p.Size < 1 || p.Idle < 0 {
		faults = append(faults, fmt.Errorf("%d requests, %d to warm up, of %d bytes after %v: "+
			"want 1, 0, 1, 0 or more", p.Count, p.Warm, p.Size, p.Idle))
	}
	for _, op := range p.Operations {
		if !slices.Contains(Whole, op) {
			faults = append(faults, fmt.Errorf("operation %q: want some of %q", op, Whole))
		}
	}
	return errors.Join(faults...)
}

// Times are the samples of each operation, in the order of the requests.
type Times map[Operation][]time.Duration

// Measure carries out a plan: all objects are put, then read, then the bucket is listed, then the buckets,
// then the objects are removed, each operation Count times and one request at a time. It ends with the
// first request that fails.
func Measure(ctx context.Context, s Store, sleep Sleep, p Plan) (Times, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	warm := run{store: s, plan: Plan{Count: p.Warm, Size: p.Size}, prefix: "warm"}
	if err := warm.all(ctx); err != nil {
		return nil, fmt.Errorf("warming up: %w", err)
	}
	r := run{store: s, plan: p, sleep: sleep, prefix: "key", times: Times{}}
	return r.times, r.all(ctx)
}

type run struct {
	store  Store
	plan   Plan
	sleep  Sleep
	prefix string
	times  Times
}

func (r *run) all(ctx context.Context) error {
	for _, op := range Whole {
		for i := range r.plan.Count {
			if err := r.one(ctx, op, fmt.Sprintf("%s-%04d", r.prefix, i)); err != nil {
				return fmt.Errorf("%s %d of %d: %w", op, i+1, r.plan.Count, err)
			}
		}
	}
	return nil
}

func (r *run) one(ctx context.Context, op Operation, key string) error {
	measured := slices.Contains(r.plan.Operations, op)
	if measured && r.plan.Idle > 0 {
		if err := r.sleep(ctx, r.plan.Idle); err != nil {
			return err
		}
	}
	took, err := r.store.Do(ctx, op, key, r.plan.Size)
	if err != nil || !measured {
		return err
	}
	r.times[op] = append(r.times[op], took.Whole)
	switch op {
	case GetObject:
		r.times[GetFirstByte] = append(r.times[GetFirstByte], took.Part)
	case PutObject:
		r.times[PutLastByte] = append(r.times[PutLastByte], took.Part)
	}
	return nil
}

// Rows makes the rows of what Measure returned for one plan. like gives world, system and topology; round is
// one round trip between sites, and quorum the lower bound of hearing once from a majority of them, as
// SiteRound and Bound return them.
func (t Times) Rows(like Bar, p Plan, round, quorum time.Duration) []Row {
	var rows []Row
	for _, op := range Operations {
		if len(t[op]) == 0 {
			continue
		}
		b := like
		b.Operation, b.Size, b.Idle = op, p.Size, p.Idle
		bound := time.Duration(op.QuorumRounds()) * quorum
		rows = append(rows, Summarize(b, t[op], round, bound))
	}
	return rows
}
