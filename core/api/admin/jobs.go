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
	Paused     bool    `json:"paused,omitempty"`
	Cause      string  `json:"cause,omitempty"` // what stands in its way
}

func jobOf(s job.State) Job {
	return Job{Name: s.Name, Unit: s.Unit, Done: s.Done, Total: s.Total, Passes: s.Passes, Rate: s.Rate,
		ETASeconds: s.ETA.Seconds(), Paused: s.Paused, Cause: s.Cause}
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
