package layout

import (
	"fmt"
	"slices"

	"granary/core/rt"
)

// Set is the replicas of one key in one live version, and how many of them a write and a read need.
type Set struct {
	Version uint64
	Nodes   []rt.NodeID // ascending
	Write   int         // W
	Read    int         // R
}

// History is the live versions of the layout, oldest first: one, or several while a transition runs. It is
// a value; methods that change it return another. Zero has no version: the cluster waits for its first
// layout.
type History struct {
	versions []*Version
	newest   Hash
}

// NewHistory returns the history of these versions, oldest first.
//
// Errors: as With.
func NewHistory(versions ...*Version) (History, error) {
	var h History
	var err error
	for _, v := range versions {
		if h, err = h.With(v); err != nil {
			return History{}, err
		}
	}
	return h, nil
}

// With returns the history with one more version, which must follow the newest.
//
// Errors: ErrChain if it does not, or if HistoryMax are live; ErrInvalid as Validate.
func (h History) With(v *Version) (History, error) {
	if err := v.Validate(); err != nil {
		return h, err
	}
	if newest := h.Newest(); newest != nil && (v.Number != newest.Number+1 || v.Parent != h.newest) {
		return h, fmt.Errorf("layout: version %d with parent %v after version %d %v: %w;"+
			" fetch what lies between", v.Number, v.Parent, newest.Number, h.newest, ErrChain)
	}
	if len(h.versions) >= HistoryMax {
		return h, fmt.Errorf("layout: version %d: %d versions are live, at most %d: %w;"+
			" let a transition finish first", v.Number, len(h.versions), HistoryMax, ErrChain)
	}
	return History{versions: append(slices.Clip(h.versions), v), newest: v.Hash()}, nil
}

// Retired returns the history without the versions below oldest. The newest always stays.
func (h History) Retired(oldest uint64) History {
	for len(h.versions) > 1 && h.versions[0].Number < oldest {
		h.versions = h.versions[1:]
	}
	return h
}

// Versions returns the live versions, oldest first. The slice must not be changed.
func (h History) Versions() []*Version { return h.versions }

// Newest returns the newest version, nil if there is none.
func (h History) Newest() *Version {
	if len(h.versions) == 0 {
		return nil
	}
	return h.versions[len(h.versions)-1]
}

// NewestHash returns the hash of the newest version, zero if there is none.
func (h History) NewestHash() Hash { return h.newest }

// Oldest returns the oldest live version, nil if there is none.
func (h History) Oldest() *Version {
	if len(h.versions) == 0 {
		return nil
	}
	return h.versions[0]
}

// Version returns the live version of that number, nil if there is none.
func (h History) Version(number uint64) *Version {
	for _, v := range h.versions {
		if v.Number == number {
			return v
		}
	}
	return nil
}

// Sets returns the replicas of a prefix in each live version, oldest first. A write needs its quorum in
// every one.
func (h History) Sets(x Prefix) []Set {
	sets := make([]Set, len(h.versions))
	for i, v := range h.versions {
		sets[i] = v.Set(x)
	}
	return sets
}
