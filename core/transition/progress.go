package transition

import (
	"context"
	"errors"
	"fmt"
	"time"

	"granary/core/layout"
	"granary/core/rt"
)

// A node that takes rows over says how far it is after so long, and then each time that this took longer by a
// part: all members hear of it.
const (
	markEvery = time.Second
	markPart  = 8
)

// whileMarking calls move, and until it returns says again and again up to which turn this node is in sync,
// and drops what it holds for nobody any more: what comes may need the room.
func (m *Mover) whileMarking(ctx context.Context, move func(context.Context) error) error {
	over, wake := false, m.Env.NewWaiter()
	return rt.Each(ctx, m.Env, "layout", 2, 2, func(ctx context.Context, i int) error {
		if i == 0 {
			err := move(ctx)
			m.lock.Lock()
			over = true
			m.lock.Unlock()
			wake.Unpark()
			return err
		}
		for {
			if err := wake.ParkFor(ctx, markEvery); !errors.Is(err, rt.ErrTimeout) {
				return err
			}
			m.lock.Lock()
			end := over
			m.lock.Unlock()
			if end {
				return nil
			}
			if err := errors.Join(m.markTurns(ctx), m.drop(ctx)); err != nil {
				return err
			}
		}
	})
}

// markTurns says up to which turn of a change that is going on this node holds what the newest version
// gives it. A store that takes the place of a lost one says so of all turns at once, when it has the
// registers too.
func (m *Mover) markTurns(ctx context.Context) error {
	if m.goal.Version != m.goal.Newest || m.goal.Lost {
		return nil
	}
	now := m.Env.Now()
	if now < m.markAt {
		return nil
	}
	turn, err := m.turnDone()
	known := turn <= m.marked.turn && m.marked.version == m.goal.Version
	if err != nil || turn == 0 || turn == layout.LastTurn || known {
		return err
	}
	if err = m.Cluster.MarkPartly(ctx, m.goal.Version, turn); err != nil {
		return fmt.Errorf("say how far this node is: %w", err)
	}
	m.Env.Sometimes("in sync with parts of a layout", true)
	m.marked, m.markAt = mark{m.goal.Version, turn}, now+max(markEvery, (now-m.begun)/markPart)
	return nil
}

// turnDone is the last turn of the change that is going on up to which this node holds everything; 0 if
// that is none, or none is going on.
func (m *Mover) turnDone() (turn int, err error) {
	turn = layout.LastTurn
	for _, s := range m.shares() { // in the order of turns
		switch {
		case s.turn == 0:
			return 0, nil
		case s.turn > turn:
			return turn, nil
		}
		m.lock.Lock()
		done := s.Done(func(peer rt.NodeID) bool { return m.taken[s.key(peer)] })
		m.lock.Unlock()
		missing := int64(0)
		if done {
			if missing, err = m.awaited(s); err != nil {
				return 0, err
			}
		}
		if !done || missing > 0 {
			turn = s.turn - 1
		}
	}
	return turn, nil
}
