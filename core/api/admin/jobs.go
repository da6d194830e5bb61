package admin

import (
	"fmt"
	"net/http"

	"granary/core/job"
)

// Job is a background work of the node that answers.
type Job struct {
	Name   string `json:"name"`
	Unit   string `json:"unit"` // what Done and Total count
	Done   int64  `json:"done"`
	Total  int64  `json:"total"`
	Passes int64  `json:"passes"` // that were finished
	// Rate is units per second in this pass; 0: not known.
	Rate float64 `json:"rate,omitempty"`
	// ETASeconds is the time to the end of the pass; 0: not known.
	ETASeconds float64 `json:"eta_seconds,omitempty"`
	// Bytes were moved in this pass, BytesRate per second; 0 for a job that moves none.
	Bytes     int64   `json:"bytes,omitempty"`
	BytesRate float64 `json:"bytes_per_second,omitempty"`
	// Speed is the most bytes per second that the job moves; 0: no limit.
	Speed  int64  `json:"speed_bytes_per_second,omitempty"`
	Paused bool   `json:"paused,omitempty"`
	Cause  string `json:"cause,omitempty"` // what stands in its way
}

// Speed asks for another speed of a job.
type Speed struct {
	BytesPerSecond int64 `json:"bytes_per_second"` // 0: no limit
}

func jobOf(s job.State) Job {
	return Job{Name: s.Name, Unit: s.Unit, Done: s.Done, Total: s.Total, Passes: s.Passes, Rate: s.Rate,
		ETASeconds: s.ETA.Seconds(), Bytes: s.Bytes, BytesRate: s.BytesRate, Speed: s.Speed,
		Paused: s.Paused, Cause: s.Cause}
}

func (h *Handler) listJobs(request, none) ([]Job, error) {
	list := []Job{}
	if h.Jobs != nil {
		for _, s := range h.Jobs.All() {
			list = append(list, jobOf(s))
		}
	}
	return list, nil
}

func (h *Handler) pauseJob(r request, _ none) (Job, error) { return h.steer(r, (*job.Job).Pause) }

func (h *Handler) resumeJob(r request, _ none) (Job, error) { return h.steer(r, (*job.Job).Resume) }

func (h *Handler) speedJob(r request, in Speed) (Job, error) {
	if in.BytesPerSecond < 0 {
		return Job{}, &Error{Status: http.StatusBadRequest, Code: "bad_speed",
			Message: fmt.Sprintf("bytes_per_second: %d, want 0 (no limit) or more", in.BytesPerSecond)}
	}
	return h.steer(r, func(j *job.Job) { j.SetSpeed(in.BytesPerSecond) })
}

func (h *Handler) steer(r request, f func(*job.Job)) (Job, error) {
	name := r.http.PathValue("name")
	if h.Jobs != nil {
		if j := h.Jobs.Find(name); j != nil {
			f(j)
			return jobOf(j.State()), nil
		}
	}
	return Job{}, &Error{Status: http.StatusNotFound, Code: "no_such_job",
		Message: fmt.Sprintf("there is no job %q on this node", name), Hint: "see granary job list"}
}
