package transition

import (
	"context"
	"errors"
	"fmt"
	"time"

	"granary/core/layout"
	"granary/core/rpc"
	"granary/core/rt"
)

// ErrBusy means that a node is the source of as many others as it serves at once. Whoever is refused asks
// somebody else first, and comes again.
var ErrBusy = rpc.RegisterError("transition.busy", errors.New("the source serves others"))

const (
	// leaseTime is how long a source keeps the place of a node that says nothing, being dead or paused.
	leaseTime = 30 * time.Second
	// renewEvery is when a node that goes on says so.
	renewEvery = leaseTime / 3
)

// placeRequest asks a source for a place, or to keep it.
type placeRequest struct {
	Leave bool `cbor:"1,keyasint,omitempty"` // gives it up
}

type placeResponse struct{}

var methodPlace = rpc.NewMethod[placeRequest, placeResponse]("transition.place", rpc.Meta)

// places are those of a source: so many nodes take over from it at once.
type places struct {
	most  int
	until map[rt.NodeID]time.Duration // when the place of a node is lost
}

func newPlaces(most int) places { return places{most, map[rt.NodeID]time.Duration{}} }

// take gives a node a place, or lets it keep its own, and reports whether there was one.
func (p places) take(node rt.NodeID, now time.Duration) bool {
	for id, until := range p.until {
		if until <= now {
			delete(p.until, id)
		}
	}
	if _, has := p.until[node]; !has && len(p.until) >= p.most {
		return false
	}
	p.until[node] = now + leaseTime
	return true
}

// handlePlace answers a node that wants to take over from this one.
func (m *Mover) handlePlace(_ context.Context, from rt.NodeID, req *placeRequest) (*placeResponse, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	switch {
	case req.Leave:
		delete(m.places.until, from)
	case !m.places.take(from, m.Env.Now()) && !m.Env.Mutant("layout: a source serves everybody"):
		m.Env.Sometimes("a source had no place", true)
		return nil, fmt.Errorf("%d at once: %w", layout.TransfersPerNode, ErrBusy)
	}
	m.Env.Gauge("layout_served", float64(len(m.places.until)))
	return &placeResponse{}, nil
}

// place is one that this node has at a source.
type place struct {
	m      *Mover
	source rt.NodeID
	asked  time.Duration
}

// keep asks for the place, at first and when it would be lost otherwise.
//
// Errors: ErrBusy, those of the call.
func (p *place) keep(ctx context.Context) error {
	now := p.m.Env.Now()
	if p.asked > 0 && now < p.asked+renewEvery {
		return nil
	}
	p.asked = now
	_, err := methodPlace.Call(ctx, p.m.Endpoint, p.source, &placeRequest{})
	return err
}

// leave gives the place up, without waiting for the source to hear it.
func (p *place) leave() {
	p.m.Group.Go("layout leave", func(ctx context.Context) error {
		_, _ = methodPlace.Call(ctx, p.m.Endpoint, p.source, &placeRequest{Leave: true})
		return nil
	})
}
