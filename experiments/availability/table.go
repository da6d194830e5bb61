package main

import (
	"bytes"
	"fmt"
	"time"
)

const header = "system,operation,start_s,latency_ms,answered\n"

// table returns data.csv: one line for each request, in the order of systems, operations and time.
func table(samples []sample) []byte {
	var text bytes.Buffer
	text.WriteString(header)
	for _, s := range samples {
		fmt.Fprintf(&text, "%s,%s,%.3f,%.3f,%v\n", s.system, s.operation, s.start.Seconds(), ms(s.took),
			s.answered)
	}
	return text.Bytes()
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// outage is what a system's failing site did to its clients, over several runs.
type outage struct {
	system               string
	runs                 int
	longest, least, most time.Duration // the longest latency of a run: the sum, the least, the greatest
	slow                 int           // requests that took more than patience
	unanswered           int
}

// patience is how long a person waits before something is wrong.
const patience = time.Second

const outagesHeader = "system,runs,longest_mean_ms,longest_min_ms,longest_max_ms,over_1s,unanswered\n"

// outages returns outages.csv: one line for each system, in order of appearance.
func outages(runs [][]sample) []byte {
	var all []*outage
	find := func(system string) *outage {
		for _, o := range all {
			if o.system == system {
				return o
			}
		}
		o := &outage{system: system}
		all = append(all, o)
		return o
	}
	for _, run := range runs {
		longest := map[*outage]time.Duration{}
		for _, s := range run {
			o := find(s.system)
			longest[o] = max(longest[o], s.took)
			if s.took > patience {
				o.slow++
			}
			if !s.answered {
				o.unanswered++
			}
		}
		for o, d := range longest {
			if o.runs == 0 {
				o.least = d
			}
			o.runs, o.longest, o.least, o.most = o.runs+1, o.longest+d, min(o.least, d), max(o.most, d)
		}
	}
	var text bytes.Buffer
	text.WriteString(outagesHeader)
	for _, o := range all {
		fmt.Fprintf(&text, "%s,%d,%.3f,%.3f,%.3f,%d,%d\n", o.system, o.runs, ms(o.longest)/float64(o.runs),
			ms(o.least), ms(o.most), o.slow, o.unanswered)
	}
	return text.Bytes()
}
