package admin

import (
	"net/http"
	"strings"
	"testing"

	"granary/core/block"
)

func TestScrub(t *testing.T) {
	w := newWorld()
	var s Scrubs
	w.must(t, "GET", "/v1/scrub", "", &s)
	if s.Now != nil || s.Last != nil {
		t.Errorf("before any: %+v", s)
	}
	w.blocks.now = block.ScrubPass{Began: epoch.UnixMilli(), Missing: 4, Healed: 3,
		Disks: []block.ScrubResult{{Name: "/mnt/a", Checked: 10, Bad: 2}, {Name: "/mnt/b", Failed: "gone"}}}
	w.must(t, "POST", "/v1/scrub", "", &s)
	if w.blocks.started != 1 || w.rows.started != 1 {
		t.Errorf("%d scrubs of blocks and %d of rows began, want one each", w.blocks.started, w.rows.started)
	}
	if s.Now == nil || s.Now.Ended != nil || !s.Now.Began.Equal(epoch) || s.Now.Missing != 4 ||
		s.Now.Healed != 3 || s.Now.Disks[0].Bad != 2 || s.Now.Disks[1].Failed != "gone" {
		t.Errorf("%+v", s.Now)
	}
	w.blocks.last, w.blocks.now.Ended = w.blocks.now, epoch.UnixMilli()
	w.must(t, "GET", "/v1/scrub", "", &s)
	if s.Now.Ended == nil || s.Last == nil {
		t.Errorf("%+v", s)
	}
	w.facts.Disks = []Disk{{Path: "/mnt/a"}, {Path: "/mnt/b", Error: "is it mounted?"}}
	var status Status
	w.must(t, "GET", "/v1/status", "", &status)
	if len(status.Storage.Disks) != 2 ||
		!strings.Contains(strings.Join(status.Warnings, "\n"), "/mnt/b is not used") {
		t.Errorf("%+v", status)
	}
	w.api.Blocks = nil
	var refused Error
	if code, _ := w.do(t, "GET", "/v1/scrub", "", &refused); code != http.StatusNotFound {
		t.Errorf("%d %+v", code, refused)
	}
}
