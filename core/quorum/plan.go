package quorum

import (
	"context"
	"errors"

	"granary/core/cluster"
	"granary/core/rt"
)

// Teacher fetches the layout that a node knows.
type Teacher interface {
	Learn(context.Context, rt.NodeID) error
}

// Learn fetches the layout of a replica that refused something as planned with an old one, and reports
// whether there is any.
func Learn(ctx context.Context, t Teacher, fails []Failure) bool {
	for _, f := range fails {
		if errors.Is(f.Err, cluster.ErrOldLayout) && ctx.Err() == nil && t.Learn(ctx, f.Node) == nil {
			return true
		}
	}
	return false
}

// Planned makes an attempt with a view, and another for as long as replicas refuse it as planned with an old
// layout and theirs is another one: since layouts only get newer, this ends. The attempt returns the replicas
// that failed.
//
// Errors: those of view and of the last attempt.
func Planned(ctx context.Context, env rt.Env, t Teacher, view func() (cluster.View, error),
	attempt func(cluster.View) ([]Failure, error)) error {
	v, err := view()
	for err == nil {
		fails, failed := attempt(v)
		if failed == nil || !Learn(ctx, t, fails) {
			return failed
		}
		old := v.Plan()
		if v, err = view(); err == nil && v.Plan() == old {
			return failed
		}
		env.Sometimes("planned anew with a newer layout", true)
	}
	return err
}
