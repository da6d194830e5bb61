package admin

import (
	"fmt"
	"net/http"

	"granary/core/cluster"
	"granary/core/layout"
	"granary/core/layout/plan"
)

// rebalance makes a version of the live roles and parameters, whatever is staged, that moves at most a
// budget.
func (h *Handler) rebalance(r request, in Rebalance) (Rebalanced, error) {
	if err := h.Cluster.Sync(r.ctx); err != nil {
		return Rebalanced{}, err
	}
	c, err := h.planned(r)
	if err != nil {
		return Rebalanced{}, err
	}
	if c.Layout == nil {
		return Rebalanced{}, fmt.Errorf("%w: %s", cluster.ErrNotReady, c.Missing)
	}
	moves := in.Budget / max(c.Layout.Size, 1)
	if moves == 0 {
		return Rebalanced{}, &Error{Status: http.StatusBadRequest, Code: "bad_request",
			Message: fmt.Sprintf("a budget of %d bytes moves nothing: a partition may hold %d", in.Budget,
				c.Layout.Size),
			Hint: "give at least that; what partitions really hold, and so what is copied, may be far less"}
	}
	next, err := layout.Rebalance(c.Layout, int(min(moves, layout.PartitionsMax*layout.ReplicasMax)))
	if err != nil {
		return Rebalanced{}, err
	}
	input := inputOf(h.Env.Self(), c)
	input.Next = next
	report, err := plan.Make(input)
	if err != nil {
		return Rebalanced{}, err
	}
	done := Rebalanced{Applied: Applied{Version: report.Number}, Report: report}
	switch {
	case in.Version != 0 && in.Version != report.Number:
		return Rebalanced{}, notNext(report, in.Version)
	case next.Moves(c.Layout) == 0:
		done.Applied = Applied{Version: c.Layout.Number, Unchanged: true}
		return done, nil
	case in.DryRun:
		return done, nil
	}
	if err := in.permit(report); err != nil {
		return Rebalanced{}, err
	}
	return done, h.Cluster.Adopt(r.ctx, next)
}

// notNext refuses a version whose number is not the one that was asked for.
func notNext(r *plan.Report, asked uint64) error {
	return fmt.Errorf("the next layout is version %d, not %d: %w", r.Number, asked, cluster.ErrChanged)
}
