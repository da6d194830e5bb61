package admin

import (
	"net/http"
	"time"

	"granary/core/block"
)

// Scrubs says what the scrub of the node that answers has found.
type Scrubs struct {
	// Now is the pass that goes on, or was the last; absent: there was none.
	Now *ScrubPass `json:"now,omitempty"`
	// Last is the last one that read content to the end; absent: there was none.
	Last *ScrubPass `json:"last,omitempty"`
}

// ScrubPass is a walk over all blocks of a node.
type ScrubPass struct {
	Began time.Time  `json:"began"`
	Ended *time.Time `json:"ended,omitempty"` // absent: it goes on
	// Names says that only names were compared, because the disks have changed.
	Names   bool        `json:"names_only,omitempty"`
	Missing int64       `json:"missing"` // blocks that had no file
	Healed  int64       `json:"healed"`  // damaged and missing ones that were fetched since
	Disks   []ScrubDisk `json:"disks"`
}

// ScrubDisk is what a pass found on a disk.
type ScrubDisk struct {
	Name    string `json:"name"`
	Checked int64  `json:"checked"` // blocks that were read, and whole
	Bytes   int64  `json:"bytes"`   // of them
	Bad     int64  `json:"bad"`
	Unknown int64  `json:"unknown"` // files that the node knows nothing of
	Removed int64  `json:"removed"` // those of them that were removed
	Adopted int64  `json:"adopted"` // those of them that are needed, and known from now on
	Moved   int64  `json:"moved"`   // blocks that went to another disk
	Failed  string `json:"failed,omitempty"`
}

func (h *Handler) scrub(request, none) (Scrubs, error) {
	if h.Blocks == nil {
		return Scrubs{}, &Error{Status: http.StatusNotFound, Code: "no_blocks",
			Message: "this node stores no blocks"}
	}
	now, last := h.Blocks.Scrubs()
	return Scrubs{Now: passOf(now), Last: passOf(last)}, nil
}

func (h *Handler) startScrub(r request, _ none) (Scrubs, error) {
	if h.Blocks != nil {
		h.Blocks.StartScrub()
	}
	if h.Rows != nil {
		h.Rows.StartScrub()
	}
	return h.scrub(r, none{})
}

func passOf(p block.ScrubPass) *ScrubPass {
	if p.Began == 0 || len(p.Disks) == 0 { // none yet
		return nil
	}
	out := &ScrubPass{Began: time.UnixMilli(p.Began).UTC(), Names: p.Names, Missing: p.Missing,
		Healed: p.Healed, Disks: []ScrubDisk{}}
	if p.Ended != 0 {
		ended := time.UnixMilli(p.Ended).UTC()
		out.Ended = &ended
	}
	for _, d := range p.Disks {
		out.Disks = append(out.Disks, ScrubDisk{Name: d.Name, Checked: d.Checked, Bytes: d.Bytes, Bad: d.Bad,
			Unknown: d.Unknown, Removed: d.Removed, Adopted: d.Adopted, Moved: d.Moved, Failed: d.Failed})
	}
	return out
}
