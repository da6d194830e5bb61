package admin

import (
	"errors"
	"net/http"

	"granary/core/layout"
	"granary/core/layout/plan"
)

// buy answers which capacity is the cheapest that makes so much usable. Nothing is staged.
func (h *Handler) buy(r request, in Buy) (plan.Order, error) {
	c, err := h.planned(r)
	if err != nil {
		return plan.Order{}, err
	}
	input := inputOf(h.Env.Self(), c)
	if c.Layout != nil && !in.Staged {
		input.Roles, input.Params = c.Layout.Roles, c.Layout.Params
	}
	return in.Order(input)
}

// Order returns what to buy for a cluster: of it, Roles, Params and Names count.
//
// Errors: *Error if nothing reaches the target, or a number is none.
func (in Buy) Order(cluster plan.Input) (plan.Order, error) {
	p := plan.Purchase{Roles: cluster.Roles, Params: cluster.Params, Names: cluster.Names, Target: in.Target,
		Prices: map[layout.ZoneName]float64{}, NewNodes: map[layout.ZoneName]int{}, AnyNodeMax: in.NodeMax,
		Unit: in.Unit}
	for zone, price := range in.Prices { //det:ok into another map
		p.Prices[layout.ZoneName(zone)] = price
	}
	for zone, n := range in.NewNodes { //det:ok into another map
		if n < 0 || n > newNodesMax {
			return plan.Order{}, badRequest("%d new nodes in %.80s: want 0 to %d", n, zone, newNodesMax)
		}
		p.NewNodes[layout.ZoneName(zone)] = n
	}
	order, err := plan.Buy(p)
	switch {
	case errors.Is(err, plan.ErrUnreachable):
		return plan.Order{}, &Error{Status: http.StatusConflict, Code: "unreachable_target",
			Message: err.Error(), Hint: "see granary layout explain for what limits"}
	case err != nil:
		return plan.Order{}, badRequest("%v", err)
	}
	return *order, nil
}

// newNodesMax bounds the nodes that may be bought for a zone.
const newNodesMax = 1000
