package array

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"granary/core/block"
	"granary/core/rt"
)

// strikes is how many Reads of a disk must fail in a row for it to be given up.
const strikes = 16

// Array is a Disk of several. Safe for concurrent use, as a Disk is.
type Array struct {
	env     rt.Env
	ids     []string
	weights []int64
	names   []string
	disks   []block.Disk

	lock   rt.Locker
	failed []error // by disk; nil: in use
	struck []int   // reads that failed in a row
	watch  func()
}

var _ block.Parted = (*Array)(nil)

// New makes an array of disks. What it is given of each: ID, which must be unique, Name, Weight, and either
// Disk or, for one that could not be opened, Failed.
//
// Errors: if no disk is in use, with the reasons.
func New(env rt.Env, parts []block.Part) (*Array, error) {
	a := &Array{env: env, lock: env.NewLock(), watch: func() {}}
	var reasons []error
	for _, p := range parts {
		if slices.Contains(a.ids, p.ID) {
			return nil, fmt.Errorf("disk %s at %s is there twice", p.ID, p.Name)
		}
		if p.Disk == nil && p.Failed == nil {
			p.Failed = block.ErrDisk
		}
		a.ids, a.names = append(a.ids, p.ID), append(a.names, p.Name)
		a.weights, a.disks = append(a.weights, p.Weight), append(a.disks, p.Disk)
		a.failed, a.struck = append(a.failed, p.Failed), append(a.struck, 0)
		if p.Failed != nil {
			reasons = append(reasons, fmt.Errorf("%s: %w", p.Name, p.Failed))
		}
	}
	if len(reasons) == len(parts) {
		return nil, fmt.Errorf("%w: no disk can be used: %w", block.ErrDisk, errors.Join(reasons...))
	}
	return a, nil
}

// Parts implements block.Parted.
func (a *Array) Parts() []block.Part {
	a.lock.Lock()
	defer a.lock.Unlock()
	parts := make([]block.Part, len(a.ids))
	for i := range parts {
		parts[i] = block.Part{ID: a.ids[i], Name: a.names[i], Disk: a.disks[i], Failed: a.failed[i],
			Weight: a.weights[i]}
	}
	return parts
}

// Watch implements block.Parted.
func (a *Array) Watch(f func()) {
	a.lock.Lock()
	defer a.lock.Unlock()
	a.watch = f
}

// Home implements block.Parted.
func (a *Array) Home(h block.Hash) int {
	if places := a.places(h); len(places) > 0 {
		return places[0]
	}
	return -1
}

// places are the disks in use in the order of a block.
func (a *Array) places(h block.Hash) []int {
	places := order(a.ids, a.weights, h)
	a.lock.Lock()
	defer a.lock.Unlock()
	return slices.DeleteFunc(places, func(i int) bool { return a.failed[i] != nil })
}

// Fail takes a disk out of use, by its id, unless it is the last one. It reports whether another one is in
// use.
func (a *Array) Fail(id string, cause error) bool {
	i := slices.Index(a.ids, id)
	if i < 0 {
		rt.Break("array: no disk %q", id)
	}
	a.lock.Lock()
	first, left := a.failed[i] == nil, false
	for at, err := range a.failed {
		left = left || at != i && err == nil
	}
	if first = first && left; first {
		a.failed[i] = cause
	}
	watch := a.watch
	a.lock.Unlock()
	if first {
		a.env.Error("a disk is out of use until the node starts again", "disk", id, "at", a.names[i],
			"cause", cause)
		a.env.Count("disk_failures_total", 1)
		a.env.Sometimes("disk of several failed", true)
		watch()
	}
	return left
}

// gone is the error for what no disk in use has: why a disk is out of use, or else ErrNotFound.
func (a *Array) gone() error {
	a.lock.Lock()
	defer a.lock.Unlock()
	for i, err := range a.failed {
		if err != nil {
			return fmt.Errorf("%w: it may be on disk %s, which is out of use: %w", block.ErrNotFound,
				a.names[i], err)
		}
	}
	return block.ErrNotFound
}

// Write implements block.Disk.
func (a *Array) Write(ctx context.Context, h block.Hash, data []byte) error {
	var full error
	for _, i := range a.places(h) {
		err := a.disks[i].Write(ctx, h, data)
		switch {
		case err == nil:
			return a.removeBut(ctx, h, i)
		case errors.Is(err, block.ErrDiskFull):
			full = err
			a.env.Sometimes("a block went to another disk, its own being full", true)
		case errors.Is(err, block.ErrDisk):
			if !a.Fail(a.ids[i], err) {
				return err
			}
		default:
			return err
		}
	}
	if full != nil {
		return full
	}
	return a.allGone("write", h)
}

func (a *Array) allGone(op string, h block.Hash) error {
	return fmt.Errorf("%s block %v: %w: every disk is out of use", op, h, block.ErrDisk)
}

// removeBut removes what other disks have of a block. That one cannot is the scrub's affair: the block is
// stored.
func (a *Array) removeBut(ctx context.Context, h block.Hash, keep int) error {
	for _, i := range a.places(h) {
		if i == keep {
			continue
		}
		if err := a.disks[i].Remove(ctx, h); err != nil && ctx.Err() == nil {
			a.env.Warn("an old copy of a block stays on another disk", "block", h, "at", a.names[i],
				"err", err)
		}
	}
	return nil
}

// Read implements block.Disk.
func (a *Array) Read(ctx context.Context, h block.Hash, dst []byte) ([]byte, error) {
	var failure error
	for _, i := range a.places(h) {
		got, err := a.disks[i].Read(ctx, h, dst)
		if err == nil || errors.Is(err, block.ErrNotFound) {
			a.lock.Lock()
			a.struck[i] = 0
			a.lock.Unlock()
		}
		switch {
		case err == nil:
			return got, nil
		case errors.Is(err, block.ErrDisk):
			failure = err
			a.strike(ctx, i, err)
		case !errors.Is(err, block.ErrNotFound):
			return dst, err
		}
	}
	if failure == nil {
		failure = a.gone()
	}
	return dst, fmt.Errorf("read block %v: %w", h, failure)
}

// strike notes a failed Read: a disk that cannot even tell its space, or fails time after time, is given up.
func (a *Array) strike(ctx context.Context, i int, cause error) {
	a.lock.Lock()
	a.struck[i]++
	out := a.struck[i] >= strikes
	a.lock.Unlock()
	if _, err := a.disks[i].Usage(ctx); out || errors.Is(err, block.ErrDisk) {
		a.Fail(a.ids[i], cause)
	}
}

// Remove implements block.Disk.
func (a *Array) Remove(ctx context.Context, h block.Hash) error {
	var failed error
	for _, i := range a.places(h) {
		if err := a.disks[i].Remove(ctx, h); err != nil {
			failed = err
		}
	}
	return failed
}

// List implements block.Disk: what the disks in use have, each block once.
func (a *Array) List(ctx context.Context, after block.Hash, limit int) ([]block.Hash, error) {
	var all []block.Hash
	parts := a.Parts()
	for i, p := range parts {
		if p.Failed != nil {
			continue
		}
		page, err := p.Disk.List(ctx, after, limit)
		if errors.Is(err, block.ErrDisk) && a.Fail(p.ID, err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("disk %s: %w", parts[i].Name, err)
		}
		all = append(all, page...)
	}
	slices.SortFunc(all, block.Hash.Compare)
	all = slices.Compact(all)
	return all[:max(0, min(limit, len(all)))], nil
}

// Usage implements block.Disk: the sums over the disks in use.
func (a *Array) Usage(ctx context.Context) (sum block.Usage, err error) {
	for _, p := range a.Parts() {
		if p.Failed != nil {
			continue
		}
		u, err := p.Disk.Usage(ctx)
		if errors.Is(err, block.ErrDisk) && a.Fail(p.ID, err) {
			continue
		}
		if err != nil {
			return sum, fmt.Errorf("disk %s: %w", p.Name, err)
		}
		if sum.Total += u.Total; p.Weight > 0 {
			sum.Free += u.Free
		}
	}
	return sum, nil
}
