package admin

import (
	"net/http"
	"testing"
)

func TestJobs(t *testing.T) {
	w := newWorld()
	scrub := w.jobs.New("scrub", "blocks")
	scrub.Begin(10)
	scrub.Add(3)
	var list []Job
	w.must(t, "GET", "/v1/jobs", "", &list)
	if len(list) != 1 || list[0].Name != "scrub" || list[0].Unit != "blocks" || list[0].Done != 3 ||
		list[0].Total != 10 || list[0].Paused {
		t.Errorf("%+v", list)
	}
	var paused, resumed Job
	w.must(t, "POST", "/v1/jobs/scrub/pause", "", &paused)
	w.must(t, "POST", "/v1/jobs/scrub/resume", "", &resumed)
	if !paused.Paused || resumed.Paused {
		t.Errorf("%+v, then %+v", paused, resumed)
	}
	var quick Job
	w.must(t, "POST", "/v1/jobs/scrub/speed", `{"bytes_per_second": 5000}`, &quick)
	if quick.Speed != 5000 || scrub.State().Speed != 5000 {
		t.Errorf("%+v", quick)
	}
	var refused Error
	if code, _ := w.do(t, "POST", "/v1/jobs/scrub/speed", `{"bytes_per_second": -1}`, &refused); code !=
		http.StatusBadRequest || refused.Code != "bad_speed" {
		t.Errorf("%d %+v", code, refused)
	}
	code, _ := w.do(t, "POST", "/v1/jobs/scrubs/pause", "", &refused)
	if code != http.StatusNotFound || refused.Code != "no_such_job" || refused.Hint == "" {
		t.Errorf("%d %+v", code, refused)
	}
}
