package diskfs

import (
	"errors"
	"sync"
)

// rounds lets callers share a costly action, such as the sync of a folder, without anybody being served by a
// run that had begun before he asked.
type rounds struct {
	mu   sync.Mutex
	last *round // begun last; may be over
	next *round // not begun: whoever asks now joins it; nil if nobody has asked
}

// round is one run of the action. err is set before done is closed.
type round struct {
	done chan struct{}
	err  error
}

// errAbandoned is the result of a round whose leader died in it.
var errAbandoned = errors.New("the task that synced for others has ended")

// share returns the result of a run of act that began after the call of share. Runs follow one another; each
// serves everybody who asked before it began, and is run by the one who asked first.
func (s *rounds) share(act func() error) error {
	s.mu.Lock()
	if r := s.next; r != nil {
		s.mu.Unlock()
		<-r.done
		return r.err
	}
	r := &round{done: make(chan struct{}), err: errAbandoned}
	before := s.last
	s.next = r
	s.mu.Unlock()

	if before != nil {
		<-before.done
	}
	defer close(r.done)
	s.mu.Lock()
	s.last, s.next = r, nil // from here on nobody joins
	s.mu.Unlock()
	r.err = act()
	return r.err
}
