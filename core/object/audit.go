package object

import (
	"context"

	"granary/core/block"
	"granary/core/bucket"
	"granary/core/job"
	"granary/core/rt"
	"granary/core/table"
)

// AuditJob is what the job that looks for references to blocks without a reason is called.
const AuditJob = "audit"

// auditor walks the references that this node holds: what was stored by those who stopped before anything
// named it, or came after it was given up.
type auditor struct {
	s      *Store
	job    *job.Job
	passes int
}

func newAuditor(s *Store, jobs *job.Book) *auditor {
	return &auditor{s: s, job: jobs.New(AuditJob, "references looked at")}
}

// run makes one audit after another until the node stops.
func (a *auditor) run(ctx context.Context) error {
	env := a.s.env
	for {
		if pauseAround(ctx, env, a.s.reclaim.AuditEvery) != nil || a.job.Gate(ctx) != nil {
			return nil
		}
		err := rt.Guard(env, AuditJob, func() error { return a.pass(ctx) })
		if ctx.Err() != nil {
			return nil
		}
		a.job.Hinder(err)
	}
}

// suspect is an owner with references of one page.
type suspect struct {
	ref    block.Ref
	hashes []block.Hash
}

// pass looks at all references of this node that are old enough and whose turn it is to be looked at by this
// one of their replicas: in as many passes as there are replicas, each looks at all.
func (a *auditor) pass(ctx context.Context) (failed error) {
	a.passes++
	a.job.Begin(0)
	for from, more := []byte(nil), true; more; {
		page, next, err := a.s.blocks.References(from, pageMax)
		if err != nil {
			return err
		}
		buckets, suspects := a.suspects(page)
		for _, b := range buckets {
			if err := a.judge(ctx, b, suspects[b]); err != nil && failed == nil {
				failed = err
			}
		}
		a.job.Add(int64(len(page)))
		if err := a.job.Gate(ctx); err != nil {
			return err
		}
		from, more = next, next != nil
	}
	return failed
}

// suspects groups the references of a page that are to be looked at, by buckets and owners.
func (a *auditor) suspects(page []block.Reference) (buckets []bucket.BucketID,
	all map[bucket.BucketID][]*suspect) {
	all = map[bucket.BucketID][]*suspect{}
	known := map[block.Owner]*suspect{}
	old := a.s.clock.Wall().Add(-a.s.reclaim.AuditAge)
	for _, r := range page {
		place, of, ok := a.s.blocks.Duty(r.Hash)
		if !ok || r.Made > old || (place+a.passes)%of != 0 {
			continue
		}
		s := known[r.Owner]
		if s == nil {
			b := bucket.BucketID(r.Bucket)
			if all[b] == nil {
				buckets = append(buckets, b)
			}
			s = &suspect{ref: r.Ref}
			known[r.Owner], all[b] = s, append(all[b], s)
		}
		s.hashes = append(s.hashes, r.Hash)
	}
	return buckets, all
}

// judge asks the replicas of a bucket about owners, and releases what nobody needs nor will need.
func (a *auditor) judge(ctx context.Context, b bucket.BucketID, all []*suspect) error {
	set, ok, err := a.s.replicas(b)
	if err != nil || !ok {
		return err
	}
	asks := make([]ask, len(all))
	for i, s := range all {
		asks[i] = ask{Kind: askOwner, Key: []byte(s.ref.Key), ID: s.ref.Owner, Part: s.ref.Part}
		if s.ref.Upload != [16]byte{} {
			asks[i].Upload = s.ref.Upload[:]
		}
	}
	free, err := a.s.inquire(ctx, set, b, asks, make([]table.Head, len(all)))
	if err != nil {
		return err
	}
	var graves []table.Row
	for i, s := range all {
		if !free[i] {
			continue
		}
		sort := garbageSort([]byte(s.ref.Key), decider(s.ref))
		row, err := a.s.rows.graves.Row(sort, graveRow{Emptied: true})
		if err != nil {
			return err
		}
		graves = append(graves, row)
	}
	if err := a.s.state(ctx, b, graves); err != nil {
		return err
	}
	for i, s := range all {
		if !free[i] {
			continue
		}
		a.s.env.Sometimes("the audit released an orphan", true)
		a.s.env.Count("object_orphans_released_total", float64(len(s.hashes)))
		if err := a.s.blocks.Release(ctx, s.ref.Owner, s.hashes); err != nil {
			return err
		}
	}
	return nil
}

// decider is the id whose seal decides about the owner of a reference: that of the copy it is a part of, or
// its own.
func decider(r block.Ref) [16]byte {
	if r.Upload != [16]byte{} && r.Part == 0 {
		return r.Upload
	}
	return r.Owner
}
