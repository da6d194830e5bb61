package linear

import (
	"context"
	"errors"
	"strconv"
	"time"

	"granary/experiments/baseline/site"
)

// Log is what clients saw. The zero Log is empty.
type Log struct {
	History          []Op
	Answered, Failed int // requests
}

// Request makes a request of the store at a site, from a task outside, waits for limit at most and writes
// down what came of it. A site without a node is not asked. Of op, the times are filled in, and what a Get
// read; it is returned.
func (l *Log) Request(w *site.World, at int, limit time.Duration, op Op) Op {
	op.Start = w.Sched.Now()
	err := w.On(at, limit, func(ctx context.Context, s site.Store) error {
		switch op.Kind {
		case Put:
			return s.Put(ctx, op.Key, strconv.AppendUint(nil, op.Value, 10))
		case Remove:
			return s.Remove(ctx, op.Key)
		}
		value, err := s.Get(ctx, op.Key)
		if err == nil {
			op.Value, err = strconv.ParseUint(string(value), 10, 64)
		}
		return err
	})
	switch {
	case errors.Is(err, site.ErrDown):
		return op
	case err == nil || op.Kind == Get && errors.Is(err, site.ErrAbsent):
		op.End = w.Sched.Now()
		l.Answered++
	default:
		l.Failed++
		if op.Kind == Get { // tells nothing
			return op
		}
	}
	l.History = append(l.History, op)
	return op
}
