// Package trace turns what a run leaves behind into what a person reads: the last lines of its log, and a
// timeline of its client operations and node incarnations for the trace viewers of Chrome and Perfetto.
//
// Nothing here decides anything: a run with a trace is the same run.
package trace
