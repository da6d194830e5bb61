package world

import (
	"errors"
	"testing"
	"time"

	"granary/core/block"
	"granary/core/cluster"
	"granary/core/table"
)

// votes are the registers that a machine has a state of; voter says that it would vote.
func (m *Machine) votes(t *testing.T) (votes map[string]bool, voter bool) {
	t.Helper()
	votes = map[string]bool{}
	err := m.Node.Tables().Local(nil, func(r *table.Reader) error {
		g, ok := cluster.ReadGuard(r.Records())
		voter = ok && !g.Amnesiac && !g.Unsure
		r.Records().Ascend([]byte("\x01register/"), []byte("\x01register0"), func(k, _ []byte) bool {
			votes[string(k)] = true
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return votes, voter
}

// A store that takes the place of a lost one, while a change is through with the full-copy tables and not
// with the partitions, knows what the lost one had voted before it votes: although it gets in sync with the
// old version first, of which the voters are retired.
func TestHeirAmidTurns(t *testing.T) {
	w, c := spareWorld(t, 1)
	m := &moving{client: c, text: map[int]string{}}
	for i := range 32 {
		m.put(8*i, 1)
	}
	operator, lost, added := w.Machines[1], w.Machines[2], w.Machines[3]
	added.Node.Jobs().Find(block.ResyncJob).Pause()
	if err := errors.Join(w.stage(operator, added, 1<<40), w.stage(operator, w.Machines[0], -1),
		w.apply(operator)); err != nil {
		t.Fatal(err)
	}
	w.mustRun(t, 30*time.Second)
	full, err := operator.Node.Cluster().FullView()
	if p := operator.Node.Cluster().Status().Change; err != nil || len(full.Live) != 1 || p == nil {
		t.Fatalf("the full-copy tables are not through, or all is: %+v %s", full, w.Standings())
	}
	w.lose(t, lost, operator)
	if _, voter := lost.votes(t); voter {
		t.Fatal("a store that was just lost votes")
	}
	votes := func() bool { _, voter := lost.votes(t); return voter }
	if err := w.Sched.RunUntil(3*time.Minute, votes); err != nil {
		t.Fatalf("never a voter again: %s", w.Standings())
	}
	has, _ := lost.votes(t)
	want, _ := operator.votes(t)
	for key := range want {
		if !has[key] {
			t.Errorf("the heir votes and knows nothing of %.40q; it has %d registers of %d; %s", key,
				len(has), len(want), w.Standings())
		}
	}
	if len(want) == 0 {
		t.Error("nothing was voted on")
	}
}
