// Package telemetry is where log lines and measurements leave the process: a [Log] over log/slog and a
// [Meter] over Prometheus. Both are bounded: a flood of one kind of line is thinned out, and a metric has
// at most so many series.
//
// Neither ever fails its caller. What is used wrongly (a name with two kinds or two sets of labels) is
// logged once and dropped.
package telemetry
