package block

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/codec"
	"granary/core/job"
	"granary/core/kv"
	"granary/core/rt"
	"granary/core/table"
)

// ScrubJob is what the job that looks after the disks is called.
const ScrubJob = "scrub"

const (
	// scrubSpeed bounds the bytes per second that a scrub reads, unless another speed is set.
	scrubSpeed = 16 << 20
	// scrubEvery is the time from the beginning of one scrub to that of the next.
	scrubEvery = 14 * 24 * time.Hour
	// scrubLook is how often the wall clock is asked whether it is time.
	scrubLook = time.Hour
	// scrubGrace is how long a file that the store does not know is kept.
	scrubGrace = 24 * time.Hour
	// scrubPage is how many blocks are looked at between two records of the position.
	scrubPage = 64
	// namesPage is how many names of files one listing asks for: real disks read whole folders for each.
	namesPage = 4096
	// suspectsMax bounds the damaged blocks that readers found and scrub has not looked at yet.
	suspectsMax = 256
	// scrubMin and scrubMax bound the rest after an error.
	scrubMin = 10 * time.Second
	scrubMax = 10 * time.Minute
)

var (
	keyScrub  = []byte("\x02block/scrub")
	kindScrub = codec.Register(0x41, 1, "scrub state")
)

// ScrubResult is what a pass found on one disk.
type ScrubResult struct {
	Disk    string `cbor:"1,keyasint"` // its id
	Name    string `cbor:"2,keyasint"` // where it is
	Checked int64  `cbor:"3,keyasint"` // blocks whose content was verified
	Bytes   int64  `cbor:"4,keyasint"` // that were read for it
	Bad     int64  `cbor:"5,keyasint"` // blocks that were damaged, and are fetched anew
	Unknown int64  `cbor:"6,keyasint"` // files that the store does not know
	Removed int64  `cbor:"7,keyasint"` // those of them that were known to be unknown for long
	Adopted int64  `cbor:"8,keyasint"` // those of them that something refers to, whole: known from now on
	Moved   int64  `cbor:"9,keyasint"` // blocks that went home to another disk
	// Failed says why the disk could not be looked at to the end.
	Failed string `cbor:"10,keyasint,omitempty"`
}

// ScrubPass is one pass over all disks.
type ScrubPass struct {
	Began int64 `cbor:"1,keyasint"` // wall time in ms since 1970
	Ended int64 `cbor:"2,keyasint"` // 0: it goes on
	// Names says that only names were compared, because the disks have changed; no content was read.
	Names bool `cbor:"3,keyasint,omitempty"`
	// Missing counts blocks that should be here and have no file on any disk in use; Healed, damaged and
	// missing ones that were fetched since.
	Missing int64         `cbor:"4,keyasint,omitempty"`
	Healed  int64         `cbor:"5,keyasint,omitempty"`
	Disks   []ScrubResult `cbor:"6,keyasint"`
}

// scrubState is the durable state of the scrub.
type scrubState struct {
	Now  ScrubPass `cbor:"1,keyasint"`
	Last ScrubPass `cbor:"2,keyasint"` // that read content and is over
	// Part is the place in Now.Disks that the pass has come to, -1 before the first: it looks for what is
	// missing everywhere first. After is the last block that was looked at there.
	Part  int  `cbor:"3,keyasint"`
	After Hash `cbor:"4,keyasint"`
	// Used are the disks, in use, that the last pass has seen. When they are others, names are compared.
	Used []string `cbor:"5,keyasint"`
	// Seen is the number of blocks looked at in this pass.
	Seen int64 `cbor:"6,keyasint"`
}

// scrub looks after what is on the disks: that it is whole, there, known, and on the right disk.
type scrub struct {
	s        *Store
	job      *job.Job
	bell     rt.Waiter
	lock     rt.Locker
	state    scrubState
	asked    bool // for a pass that does not wait for its time
	suspects *rt.Queue[Hash]
	wait     backOff

	// listed are the files of the disk at listedPart that come next; of the worker alone.
	listed     []Hash
	listedPart int
}

func newScrub(s *Store, jobs *job.Book) *scrub {
	j := jobs.New(ScrubJob, "blocks")
	j.SetSpeed(scrubSpeed)
	return &scrub{s: s, job: j, bell: s.env.NewWaiter(), lock: s.env.NewLock(),
		suspects: rt.NewQueue[Hash](s.env, suspectsMax), wait: backOff{least: scrubMin, most: scrubMax}}
}

// StartScrub begins a scrub now, if none is going on.
func (s *Store) StartScrub() {
	s.scrub.lock.Lock()
	s.scrub.asked = true
	s.scrub.lock.Unlock()
	s.scrub.bell.Unpark()
}

// Scrubs are the pass that goes on, or was the last, and the last one that read content to the end; zero if
// there was none.
func (s *Store) Scrubs() (now, last ScrubPass) {
	s.scrub.lock.Lock()
	defer s.scrub.lock.Unlock()
	now, last = s.scrub.state.Now, s.scrub.state.Last
	now.Disks, last.Disks = slices.Clone(now.Disks), slices.Clone(last.Disks)
	return now, last
}

// doubt has a block looked at that could not be read here, if it is the block's fault.
func (s *Store) doubt(h Hash, err error) {
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrDisk) {
		s.suspect(h)
	}
}

// suspect has a block looked at. More than suspectsMax are left to the next pass.
func (s *Store) suspect(h Hash) {
	if s.scrub.suspects.TryPut(h) {
		s.scrub.bell.Unpark()
	}
}

// healed counts a damaged or missing block that is here again.
func (c *scrub) healed() {
	c.lock.Lock()
	c.state.Now.Healed++
	c.lock.Unlock()
	c.s.env.Count("block_healed_total", 1)
	c.s.env.Sometimes("a damaged or lost block was healed", true)
}

// load reads the state that an earlier life has left.
func (c *scrub) load() error {
	return c.s.kv.View(func(r kv.Reader) (err error) {
		if raw := r.Get(keyScrub); raw != nil {
			c.state, err = codec.Load[scrubState](raw, kindScrub)
		}
		return err
	})
}

// save makes the state durable.
func (c *scrub) save(ctx context.Context) error {
	c.lock.Lock()
	raw, err := codec.Seal(kindScrub, 1, c.state)
	c.lock.Unlock()
	if err != nil {
		return err
	}
	return c.s.kv.Update(ctx, func(w kv.Writer) error { w.Put(keyScrub, raw); return nil })
}

// run works until the node stops. A panic in one step does not end it.
func (c *scrub) run(ctx context.Context) error {
	env := c.s.env
	if p, ok := c.s.disk.(Parted); ok {
		p.Watch(c.bell.Unpark)
	}
	for first := true; ; first = false {
		rest := time.Duration(0)
		err := c.job.Gate(ctx)
		if err == nil {
			err = rt.Guard(env, ScrubJob, func() (err error) { rest, err = c.turn(ctx, first); return err })
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			c.job.Hinder(err)
			err = env.Sleep(ctx, c.wait.take())
		case rest > 0:
			c.wait.reset()
			c.job.Hinder(nil)
			if err = c.bell.ParkFor(ctx, rest); errors.Is(err, rt.ErrTimeout) {
				err = nil
			}
		}
		if err != nil {
			return nil
		}
	}
}

// turn does the next piece of work, and says how long there is none.
func (c *scrub) turn(ctx context.Context, first bool) (rest time.Duration, err error) {
	for h, ok := c.suspects.TryGet(); ok; h, ok = c.suspects.TryGet() {
		if err := c.judge(ctx, h); err != nil {
			return 0, err
		}
	}
	used, now := c.used(), c.s.wallMillis(0)
	c.lock.Lock()
	going := c.state.Now.Ended == 0 && c.state.Now.Began != 0
	changed := !slices.Equal(used, c.state.Used)
	asked, new := c.asked, c.state.Now.Began == 0
	due := time.Duration(c.state.Last.Began+scrubEvery.Milliseconds()-now) * time.Millisecond
	c.lock.Unlock()
	switch {
	case new && !asked && c.state.Last.Began == 0:
		// The first start: there is nothing yet, so the next one comes after the usual time.
		c.lock.Lock()
		c.state.Last = ScrubPass{Began: now, Ended: now}
		c.state.Used = used
		c.lock.Unlock()
		return 0, c.save(ctx)
	case changed:
		return 0, c.begin(ctx, true, used)
	case going && first:
		return 0, c.resume(ctx)
	case going:
		return 0, c.step(ctx)
	case asked || due <= 0:
		c.lock.Lock()
		c.asked = false
		c.lock.Unlock()
		return 0, c.begin(ctx, false, used)
	}
	return min(due, scrubLook), nil
}

// used are the disks in use, with whether they want blocks.
func (c *scrub) used() (ids []string) {
	for _, p := range c.s.Parts() {
		if p.Failed == nil {
			ids = append(ids, fmt.Sprintf("%s %t", p.ID, p.Weight > 0))
		}
	}
	slices.Sort(ids)
	return ids
}

// begin starts a pass over the disks as they are now.
func (c *scrub) begin(ctx context.Context, names bool, used []string) error {
	var disks []ScrubResult
	for _, p := range c.s.Parts() {
		r := ScrubResult{Disk: p.ID, Name: p.Name}
		if p.Failed != nil {
			r.Failed = p.Failed.Error()
		}
		disks = append(disks, r)
	}
	c.lock.Lock()
	c.state.Now = ScrubPass{Began: c.s.wallMillis(0), Names: names, Disks: disks}
	c.state.Part, c.state.After, c.state.Used, c.state.Seen = -1, Hash{}, used, 0
	c.lock.Unlock()
	c.listed = nil
	c.s.env.Sometimes("scrub began, for the disks have changed", names)
	return c.resume(ctx)
}

// resume tells the job where the pass is, and makes that durable.
func (c *scrub) resume(ctx context.Context) error {
	n, err := c.s.countKeys(keyPresent, behind(keyPresent), nil)
	if err != nil {
		return err
	}
	c.job.Begin(2 * n) // once for what is missing, once on its disk
	c.lock.Lock()
	seen := c.state.Seen
	c.lock.Unlock()
	c.job.Add(seen)
	return c.save(ctx)
}

// step looks at the next page of blocks, or ends the pass.
func (c *scrub) step(ctx context.Context) error {
	c.lock.Lock()
	part, after, pass := c.state.Part, c.state.After, c.state.Now
	c.lock.Unlock()
	var last Hash
	var n int
	var err error
	switch {
	case part < 0:
		last, n, err = c.missing(ctx, after)
	case part < len(pass.Disks):
		last, n, err = c.walk(ctx, part, after)
	default:
		return c.end(ctx)
	}
	if err != nil {
		return err
	}
	c.lock.Lock()
	if c.state.After = last; n == 0 {
		c.state.Part, c.state.After = part+1, Hash{}
	}
	c.state.Seen += int64(n)
	c.lock.Unlock()
	c.job.Add(int64(n))
	return c.save(ctx)
}

// end closes the pass.
func (c *scrub) end(ctx context.Context) error {
	c.lock.Lock()
	c.state.Now.Ended = c.s.wallMillis(0)
	if pass := c.state.Now; !pass.Names {
		c.state.Last = pass
	}
	c.lock.Unlock()
	return c.save(ctx)
}

// count changes the result of a disk.
func (c *scrub) count(part int, f func(*ScrubResult)) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if part >= 0 && part < len(c.state.Now.Disks) {
		f(&c.state.Now.Disks[part])
	}
}

// missing compares what the store says is here with the names of the files, from a hash on. Both are in the
// order of hashes.
func (c *scrub) missing(ctx context.Context, after Hash) (last Hash, n int, err error) {
	known, err := c.s.presentAfter(after, namesPage)
	if err != nil || len(known) == 0 {
		return after, 0, err
	}
	last = known[len(known)-1]
	files, err := c.s.disk.List(ctx, after, namesPage)
	for err == nil && len(files)%namesPage == 0 && len(files) > 0 && files[len(files)-1].Compare(last) < 0 {
		var more []Hash
		if more, err = c.s.disk.List(ctx, files[len(files)-1], namesPage); len(more) == 0 {
			break
		}
		files = append(files, more...)
	}
	if err != nil {
		return after, 0, err
	}
	at := 0
	for _, h := range known {
		for at < len(files) && files[at].Compare(h) < 0 {
			at++
		}
		if at < len(files) && files[at] == h {
			continue
		}
		if err := c.s.withHash(ctx, h, func() error { return c.lookFor(ctx, h) }); err != nil {
			return after, 0, err
		}
	}
	return last, len(known), nil
}

// lookFor makes a block that is known and has no file on any disk in use wanted again. Under the hash's
// mutex.
func (c *scrub) lookFor(ctx context.Context, h Hash) error {
	if here, err := c.s.present(h); err != nil || !here {
		return err
	}
	buf, err := c.s.checking.take(ctx)
	if err != nil {
		return err
	}
	defer buf.Release()
	_, err = c.s.disk.Read(ctx, h, buf.Data[:0])
	if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrDisk) {
		return err
	}
	c.lock.Lock()
	c.state.Now.Missing++
	c.lock.Unlock()
	return c.s.lose(ctx, h)
}

// lose makes a block absent that turned out to be damaged or missing, and wanted if something refers to it.
// Under the hash's mutex.
func (s *Store) lose(ctx context.Context, h Hash) error {
	s.env.Warn("a block is damaged or missing and will be fetched anew", "block", h)
	s.env.Count("block_damaged_total", 1)
	return s.tables.Change(ctx, func(rows func([]byte) *table.Tx) error {
		tx := rows(h[:])
		live, err := s.rows.live(&tx.Reader)
		if err != nil {
			return err
		}
		tx.Records().Delete(presentKey(h))
		if live && want(tx.Records(), h, reasonLost) {
			tx.After(s.resync.arrived)
		}
		return nil
	})
}

// walk looks at the next files of one disk, from a hash on.
func (c *scrub) walk(ctx context.Context, part int, after Hash) (last Hash, n int, err error) {
	parts := c.s.Parts()
	if part >= len(parts) || parts[part].Failed != nil {
		return after, 0, nil
	}
	if c.listedPart != part || len(c.listed) == 0 || c.listed[0].Compare(after) <= 0 {
		c.listedPart = part
		if c.listed, err = parts[part].Disk.List(ctx, after, namesPage); err != nil {
			c.count(part, func(r *ScrubResult) { r.Failed = err.Error() })
			return after, 0, nil // the other disks are worth looking at
		}
	}
	for last = after; n < scrubPage && len(c.listed) > 0; n++ {
		if err := c.file(ctx, part, parts[part].Disk, c.listed[0]); err != nil {
			return after, 0, err
		}
		last, c.listed = c.listed[0], c.listed[1:]
	}
	return last, n, nil
}

// file looks at one file of a disk.
func (c *scrub) file(ctx context.Context, part int, d Disk, h Hash) error {
	var read int64
	err := c.s.withHash(ctx, h, func() error {
		here, err := c.s.present(h)
		if err != nil {
			return err
		}
		c.lock.Lock()
		names := c.state.Now.Names
		c.lock.Unlock()
		if here && names && c.s.home(h) == part {
			return nil
		}
		buf, err := c.s.checking.take(ctx)
		if err != nil {
			return err
		}
		defer buf.Release()
		stored, whole, err := c.s.verified(ctx, d, h, buf)
		read = int64(len(stored))
		switch {
		case errors.Is(err, ErrNotFound):
			return nil // removed meanwhile
		case err != nil:
			return err
		case here && whole:
			return c.known(ctx, part, d, h, stored)
		case here:
			return c.bad(ctx, part, d, h, buf)
		}
		return c.unknown(ctx, part, d, h, stored, whole)
	})
	if err != nil {
		return err
	}
	return c.job.Pace(ctx, read)
}

// verified reads a block from a disk and says whether it is whole. One that cannot be read is not.
//
// Errors: ErrNotFound, ctx's, those of memory.
func (s *Store) verified(ctx context.Context, d Disk, h Hash, buf *Buffer) (stored []byte, whole bool,
	err error) {
	stored, err = d.Read(ctx, h, buf.mem[:0])
	if err == nil {
		err = s.former.verify(ctx, stored, h)
	}
	switch {
	case err == nil:
		return stored, true, nil
	case errors.Is(err, ErrCorrupt), errors.Is(err, ErrDisk):
		return stored, false, nil
	}
	return stored, false, err
}

// known judges a file of a block that is here, and whole. Under the hash's mutex.
func (c *scrub) known(ctx context.Context, part int, d Disk, h Hash, stored []byte) error {
	c.count(part, func(r *ScrubResult) { r.Checked, r.Bytes = r.Checked+1, r.Bytes+int64(len(stored)) })
	if err := c.leak(ctx, h); err != nil {
		return err
	}
	return c.move(ctx, part, d, h, stored)
}

// bad judges a damaged file of a block that is here: another disk may have it whole; else it is fetched anew.
// Under the hash's mutex.
func (c *scrub) bad(ctx context.Context, part int, d Disk, h Hash, buf *Buffer) error {
	c.count(part, func(r *ScrubResult) { r.Bad++ })
	if c.s.env.Mutant("block: scrub looks and does nothing") {
		return nil
	}
	_, whole, err := c.s.verified(ctx, c.s.disk, h, buf)
	switch {
	case err != nil && !errors.Is(err, ErrNotFound):
		return err
	case !whole:
		return c.s.lose(ctx, h)
	case c.s.home(h) != part:
		return d.Remove(ctx, h)
	}
	return nil
}

// move brings a block that is whole to the disk it belongs on. Under the hash's mutex.
func (c *scrub) move(ctx context.Context, part int, d Disk, h Hash, stored []byte) error {
	home := c.s.home(h)
	if home == part || home < 0 {
		return nil
	}
	err := c.s.Parts()[home].Disk.Write(ctx, h, stored)
	if errors.Is(err, ErrDiskFull) {
		return nil // it stays where there was room
	}
	if err == nil {
		err = d.Remove(ctx, h)
	}
	if err == nil {
		c.count(part, func(r *ScrubResult) { r.Moved++ })
		c.s.env.Sometimes("a block moved to another disk", true)
	}
	return err
}

// leak queues a block for removal that nothing refers to, in case nobody noticed when that came to be.
func (c *scrub) leak(ctx context.Context, h Hash) error {
	live := false
	err := c.s.tables.Local(h[:], func(r *table.Reader) (err error) {
		live, err = c.s.rows.live(r)
		return err
	})
	if err != nil || live {
		return err
	}
	return c.s.dispose(ctx, h)
}

// unknown judges a file that the store does not know: what a crash left of a write or of a removal, or what a
// restored store forgot. What something refers to is known from now on, if it is whole; else it stays for a
// while. Under the hash's mutex.
func (c *scrub) unknown(ctx context.Context, part int, d Disk, h Hash, stored []byte, whole bool) error {
	s, now := c.s, c.s.wallMillis(0)
	old, adopted, was := false, false, false
	err := s.tables.Change(ctx, func(rows func([]byte) *table.Tx) error {
		tx := rows(h[:])
		w := tx.Records()
		live, err := s.rows.live(&tx.Reader)
		if err != nil {
			return err
		}
		if adopted = live && whole; adopted {
			w.Delete(unknownKey(h))
			var why reason
			was, why = unwant(w, h)
			return s.here(tx, h, len(stored), why)
		}
		if seen := w.Get(unknownKey(h)); seen == nil {
			w.Put(unknownKey(h), binary.BigEndian.AppendUint64(nil, uint64(now)))
		} else if old = !live && now-sizeOf(seen) > scrubGrace.Milliseconds(); old {
			w.Delete(unknownKey(h))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if was {
		s.resync.left()
	}
	c.count(part, func(r *ScrubResult) {
		r.Unknown++
		if adopted {
			r.Adopted++
		}
	})
	if old && !s.env.Mutant("block: unknown files stay") {
		if err := d.Remove(ctx, h); err != nil {
			return err
		}
		c.count(part, func(r *ScrubResult) { r.Removed++ })
		s.env.Sometimes("unknown file removed", true)
	}
	return nil
}

func unknownKey(h Hash) []byte { return append(append([]byte(nil), keyUnknown...), h[:]...) }

// judge looks at a block that a reader found damaged.
func (c *scrub) judge(ctx context.Context, h Hash) error {
	return c.s.withHash(ctx, h, func() error {
		if here, err := c.s.present(h); err != nil || !here {
			return err
		}
		whole, err := c.s.intact(ctx, h)
		if err != nil || whole {
			return err
		}
		return c.s.lose(ctx, h)
	})
}
