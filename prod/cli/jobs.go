package cli

import (
	"fmt"
	"net/url"
	"time"

	"granary/core/api/admin"
	"granary/prod/config"
)

type jobListCmd struct{}

// Run lists the node's background work.
func (jobListCmd) Run(a *app) error {
	var list []admin.Job
	if err := a.ask("GET", "/v1/jobs", nil, &list); err != nil {
		return err
	}
	return a.print(list, func() { a.jobs(list) })
}

func (a *app) jobs(list []admin.Job) {
	t := a.table("JOB", "PASS", "DONE", "RATE", "ETA", "SPEED", "STATE")
	for _, j := range list {
		state := "running"
		if j.Paused {
			state = "paused"
		}
		if j.Cause != "" {
			state += ": " + j.Cause
		}
		rate, eta := "", ""
		if j.Rate > 0 {
			rate = fmt.Sprintf("%.1f/s", j.Rate)
		}
		if j.BytesRate > 0 {
			rate += ", " + config.Size(j.BytesRate).Approx() + "/s"
		}
		speed := ""
		if j.Speed > 0 {
			speed = config.Size(j.Speed).Approx() + "/s"
		}
		if j.ETASeconds > 0 {
			eta = (time.Duration(j.ETASeconds) * time.Second).String()
		}
		t.row(j.Name, j.Passes+1, fmt.Sprintf("%d of %d %s", j.Done, j.Total, j.Unit), rate, eta, speed,
			state)
	}
	t.end("no background work on this node")
}

type jobPauseCmd struct {
	Job string `arg:"" help:"Name, as granary job list shows it."`
}

// Run pauses a job of the node.
func (c jobPauseCmd) Run(a *app) error { return a.steer(c.Job, "pause") }

type jobResumeCmd struct {
	Job string `arg:"" help:"Name, as granary job list shows it."`
}

// Run resumes a job of the node.
func (c jobResumeCmd) Run(a *app) error { return a.steer(c.Job, "resume") }

type jobSpeedCmd struct {
	Job   string `arg:"" help:"Name, as granary job list shows it."`
	Speed string `arg:"" help:"Bytes per second, such as 100M; 0: no limit."`
}

// Run bounds the speed of a job of the node.
func (c jobSpeedCmd) Run(a *app) error {
	size, err := config.ParseSize(c.Speed)
	if err != nil {
		return err
	}
	return a.steerWith(c.Job, "speed", admin.Speed{BytesPerSecond: int64(size)})
}

func (a *app) steer(name, verb string) error { return a.steerWith(name, verb, nil) }

func (a *app) steerWith(name, verb string, in any) error {
	var j admin.Job
	if err := a.ask("POST", "/v1/jobs/"+url.PathEscape(name)+"/"+verb, in, &j); err != nil {
		return err
	}
	return a.print(j, func() { a.jobs([]admin.Job{j}) })
}
