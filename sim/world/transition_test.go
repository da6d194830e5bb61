package world

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"granary/core/block"
	"granary/core/cluster"
	"granary/core/k2v"
	"granary/core/layout"
	"granary/core/node"
	"granary/core/table"
	"granary/core/transition"
	"granary/netsim"
)

// spareWorld is a world of three places whose first three machines store; the other three are gateways. It
// has a bucket, and a client of the first machine.
func spareWorld(t *testing.T, seed uint64, mutants ...string) (*World, *client) {
	t.Helper()
	w, c, err := makeSpare(t, seed, mutants...)
	if err != nil {
		t.Fatal(err)
	}
	return w, c
}

func makeSpare(t *testing.T, seed uint64, mutants ...string) (*World, *client, error) {
	t.Helper()
	topology := netsim.Regular("spare", 3, 2, netsim.Path{Delay: 10 * time.Millisecond}, netsim.Path{})
	topology.Nodes = append(oneOfEachZone(topology.Nodes), topology.Nodes[1], topology.Nodes[3],
		topology.Nodes[5])
	o := Default(seed, topology)
	for _, n := range topology.Nodes[3:] {
		o.Gateways = append(o.Gateways, n.Name)
	}
	w, err := formed(t, o, mutants...)
	if err != nil {
		return nil, nil, err
	}
	key, err := w.MakeBucket("photos")
	return w, &client{t: t, w: w, key: key}, err
}

// operate has a machine's operator change the layout.
func (w *World) operate(m *Machine, f func(context.Context, *cluster.Cluster) error) error {
	return w.Do(time.Minute, func(ctx context.Context) error { return w.Operate(ctx, m, f) })
}

// stage gives a machine a capacity in the next layout; no role if it is negative.
func (w *World) stage(at, m *Machine, capacity int64) error {
	return w.operate(at, func(ctx context.Context, c *cluster.Cluster) error {
		if capacity < 0 {
			return c.Retire(ctx, m.ID)
		}
		return c.Stage(ctx, layout.Role{Node: m.ID, Zone: layout.ZoneName(m.Zone),
			Capacity: uint64(capacity)})
	})
}

// apply makes what is staged the layout.
func (w *World) apply(at *Machine) error {
	return w.operate(at, func(ctx context.Context, c *cluster.Cluster) error {
		_, err := c.Apply(ctx)
		return err
	})
}

// settled reports whether every machine that is up knows a layout later than number, and no other that lives.
func (w *World) settled(number uint64) bool {
	for _, m := range w.Machines {
		if m.Down() {
			continue
		}
		if s := m.Node.Cluster().Status(); s.Layout.Number <= number || s.Before != nil {
			return false
		}
	}
	return true
}

// mustSettle runs until a layout later than number is the only one that lives.
func (w *World) mustSettle(t *testing.T, number uint64) {
	t.Helper()
	if err := w.Sched.RunUntil(5*time.Minute, func() bool { return w.settled(number) }); err != nil {
		t.Fatalf("not settled: %s", w.Standings())
	}
}

// moving is a client's work in a world whose layout changes: it writes and reads small and large objects, and
// counts what it should not see.
type moving struct {
	*client
	text  map[int]string
	wrong []string
}

// padding makes an object too large to travel with its row.
const padding = 100_000

func (m *moving) put(i, version int) {
	m.text[i] = fmt.Sprintf("%d, version %d", i, version)
	body := []byte(m.text[i])
	if i%8 == 0 {
		body = append(body, content(padding)...) // in a block
	}
	if got := m.do("PUT", m.path(i), body); got.Code != 200 {
		m.wrong = append(m.wrong, fmt.Sprintf("%d was not written: %d %s", i, got.Code, got.Body))
	}
}

func (m *moving) path(i int) string { return fmt.Sprintf("/photos/%03d", i) }

func (m *moving) get(i int) {
	got := m.do("GET", m.path(i), nil)
	if body := got.Body.String(); got.Code != 200 || !strings.HasPrefix(body, m.text[i]) ||
		i%8 == 0 && len(body) != len(m.text[i])+padding {
		m.wrong = append(m.wrong, fmt.Sprintf("%d: %d %.60q, want %q", i, got.Code, body, m.text[i]))
	}
}

// addAndDrain adds a node and drains another while a client works, and returns what went wrong.
func addAndDrain(t *testing.T, seed uint64, mutant string) (wrong []string) {
	t.Helper()
	w, c, err := makeSpare(t, seed, mutant)
	if err != nil {
		return []string{err.Error()}
	}
	m := &moving{client: c, text: map[int]string{}}
	for i := range 40 {
		m.put(i, 0)
	}
	operator, added, drained := w.Machines[1], w.Machines[3], w.Machines[0]
	before := operator.Node.Cluster().LayoutNumber()
	if err := errors.Join(w.stage(operator, added, 1<<40), w.stage(operator, drained, -1),
		w.apply(operator)); err != nil {
		t.Fatal(err)
	}
	c.at = 4
	for n := 0; !w.settled(before) && len(m.wrong) == 0; n++ {
		m.put(n%40, n/40+1)
		m.get(n % 40)
		m.get((n * 7) % 40)
		if n > 1000 {
			return []string{"not settled: " + w.Standings()}
		}
	}
	w.Crash(drained)
	w.Crash(w.Machines[2])
	w.mustRun(t, 5*time.Second)
	for i := range 40 {
		m.get(i)
	}
	w.Boot(w.Machines[2])
	w.mustRun(t, time.Minute)
	for _, v := range differences(t, w) {
		m.wrong = append(m.wrong, v.String())
	}
	return m.wrong
}

// A node is added and another drained while a client writes and reads: each read returns what was written
// last, the change ends by itself, and then all is where it belongs: the drained node and another one can
// go.
func TestAddAndDrain(t *testing.T) {
	for seed := range uint64(4) {
		for _, wrong := range addAndDrain(t, seed, "") {
			t.Errorf("seed %d: %s", seed, wrong)
		}
	}
}

// replaceBehind replaces a node while another one lags behind, and returns what is missing when both that
// knew everything are gone, at the moment the change is over.
func replaceBehind(t *testing.T, seed uint64, mutant string) (wrong []string) {
	t.Helper()
	w, c, err := makeSpare(t, seed, mutant)
	if err != nil {
		return []string{err.Error()}
	}
	m := &moving{client: c, text: map[int]string{}}
	m.put(0, 0)
	replaced, lags, knows, added := w.Machines[0], w.Machines[1], w.Machines[2], w.Machines[3]
	w.Crash(lags)
	w.mustRun(t, time.Second)
	for i := range 64 {
		m.put(i, 1)
	}
	w.Boot(lags)
	w.mustRun(t, 100*time.Millisecond)
	before := knows.Node.Cluster().LayoutNumber()
	if err := errors.Join(w.stage(knows, added, 1<<40), w.stage(knows, replaced, -1),
		w.apply(knows)); err != nil {
		t.Fatal(err)
	}
	w.mustSettle(t, before)
	whole := func() bool { return synced(lags) && synced(added) }
	if err := w.Sched.RunUntil(time.Minute, whole); err != nil {
		t.Fatal(w.Standings())
	}
	w.Crash(replaced)
	w.Crash(knows)
	w.mustRun(t, 5*time.Second)
	c.at = 4
	for i := range 64 {
		m.get(i)
	}
	return m.wrong
}

// What two nodes of three knew is at two of the new set when the change is over.
func TestReplaceBehind(t *testing.T) {
	for seed := range uint64(3) {
		for _, wrong := range replaceBehind(t, seed, "") {
			t.Errorf("seed %d: %s", seed, wrong)
		}
	}
}

// Each step that is broken is seen.
func TestTransitionBroken(t *testing.T) {
	for _, broken := range []struct {
		mutant string
		story  func(*testing.T, uint64, string) []string
	}{{"layout: retire before readable", addAndDrain}, {"layout: taken over from nobody", replaceBehind}} {
		seed, wrong := uint64(0), []string(nil)
		for ; seed < 4 && len(wrong) == 0; seed++ {
			wrong = broken.story(t, seed, broken.mutant)
		}
		if len(wrong) == 0 {
			t.Errorf("mutant %q: nothing went wrong", broken.mutant)
		} else {
			t.Logf("mutant %q, after %d seeds: %s", broken.mutant, seed, wrong[0])
		}
	}
}

// A node is not in sync before the blocks are there that its rows name.
func TestBlocksComeBeforeSync(t *testing.T) {
	for _, mutant := range []string{"", "layout: in sync without blocks"} {
		w, c := spareWorld(t, 1, mutant)
		m := &moving{client: c, text: map[int]string{}}
		for i := range 32 {
			m.put(i, 1)
		}
		added, operator := w.Machines[3], w.Machines[1]
		fetching := added.Node.Jobs().Find(block.ResyncJob)
		fetching.Pause()
		if err := errors.Join(w.stage(operator, added, 1<<40), w.stage(operator, w.Machines[0], -1),
			w.apply(operator)); err != nil {
			t.Fatal(err)
		}
		w.mustRun(t, time.Minute)
		if synced(added) != (mutant != "") {
			t.Errorf("mutant %q: in sync without blocks: %v", mutant, synced(added))
		}
		fetching.Resume()
		w.mustRun(t, time.Minute)
		if !synced(added) {
			t.Errorf("mutant %q: not in sync: %s", mutant, w.Standings())
		}
	}
}

// While a node takes over what another one gives up, a third one can fail: as long as the new one is not in
// sync the old one answers.
func TestChangeKeepsItsCopies(t *testing.T) {
	for _, mutant := range []string{"", "layout: closed before all are in sync"} {
		w, c := spareWorld(t, 1, mutant)
		m := &moving{client: c, text: map[int]string{}}
		for i := range 32 {
			m.put(i, 1)
		}
		drained, operator, fails, added := w.Machines[0], w.Machines[1], w.Machines[2], w.Machines[3]
		added.Node.Jobs().Find(block.ResyncJob).Pause()
		before := operator.Node.Cluster().LayoutNumber()
		if err := errors.Join(w.stage(operator, added, 1<<40), w.stage(operator, drained, -1),
			w.apply(operator)); err != nil {
			t.Fatal(err)
		}
		w.mustRun(t, 3*time.Minute)
		w.Crash(fails)
		w.mustRun(t, 5*time.Second)
		c.at = 1
		for i := range 32 {
			m.get(i)
			m.put(i, 2)
			m.get(i)
		}
		if (len(m.wrong) > 0) != (mutant != "") {
			t.Errorf("mutant %q: %d requests failed: %.200s\n%s", mutant, len(m.wrong), fmt.Sprint(m.wrong),
				w.Standings())
		}
		added.Node.Jobs().Find(block.ResyncJob).Resume()
		w.Boot(fails)
		w.mustSettle(t, before)
	}
}

// A change goes part by part: in its midst some parts are read from their new nodes, and have left the old
// one, and others not yet; each can lose a node, and all reads see what was written last.
func TestChangeInParts(t *testing.T) {
	w, c := spareWorld(t, 2)
	m := &moving{client: c, text: map[int]string{}}
	c.at = 1
	keys := func(f func(i int)) {
		for i := range 100 {
			f(8 * i) // in blocks, each in some partition
		}
	}
	keys(func(i int) { m.put(i, 1) })
	w.mustRun(t, 10*time.Second)
	drained, operator, fails, added := w.Machines[0], w.Machines[1], w.Machines[2], w.Machines[3]
	added.Node.Jobs().Find(block.ResyncJob).SetSpeed(2 * padding)
	before := operator.Node.Cluster().LayoutNumber()
	if err := errors.Join(w.stage(operator, added, 1<<40), w.stage(operator, drained, -1),
		w.apply(operator)); err != nil {
		t.Fatal(err)
	}
	amidst := func() bool {
		p := operator.Node.Cluster().Status().Change
		_, _, dropped := drained.Node.Cluster().Surplus()
		return p != nil && p.Retired > p.Parts/4 && dropped > p.Parts/4
	}
	if err := w.Sched.RunUntil(5*time.Minute, amidst); err != nil {
		t.Fatalf("never in its midst: %s", w.Standings())
	}
	had, _ := drained.rows(t)
	w.mustRun(t, 2*time.Second)
	has, stray := drained.rows(t)
	p := operator.Node.Cluster().Status().Change
	if p == nil || p.Retired == p.Parts {
		t.Fatalf("the change is over too early to see anything: %s", w.Standings())
	}
	t.Logf("%d of %d parts retired; the old node had %d rows of blocks, and has %d, %d of what it gave up",
		p.Retired, p.Parts, had, has, stray)
	if has == 0 || stray > 0 {
		t.Errorf("the old node has %d rows, %d of what it gave up", has, stray)
	}
	w.Crash(fails)
	w.mustRun(t, 5*time.Second)
	keys(func(i int) {
		m.get(i)
		m.put(i, 2)
		m.get(i)
	})
	w.Boot(fails)
	w.mustSettle(t, before)
	w.Crash(drained)
	keys(m.get)
	for _, wrong := range m.wrong {
		t.Error(wrong)
	}
}

// rows counts the rows that a machine has for a part of the nodes, and those of them that others have now.
func (m *Machine) rows(t *testing.T) (all, stray int) {
	t.Helper()
	_, surplus, _ := m.Node.Cluster().Surplus()
	err := m.Node.Tables().Inventory(func(s table.Stock) {
		if s.Full {
			return
		}
		all++
		if slices.ContainsFunc(surplus, func(r cluster.Range) bool {
			return r.First <= s.Prefix && s.Prefix <= r.Last
		}) {
			stray++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, stray
}

// A change goes on without a node that is gone, and is over while it is.
func TestChangeWithoutTheNew(t *testing.T) {
	w, _ := spareWorld(t, 1)
	operator, added := w.Machines[1], w.Machines[3]
	before := operator.Node.Cluster().LayoutNumber()
	if err := errors.Join(w.stage(operator, added, 1<<40), w.stage(operator, w.Machines[0], -1),
		w.apply(operator)); err != nil {
		t.Fatal(err)
	}
	w.Crash(added)
	w.mustSettle(t, before)
}

// What an operator pauses stops, with places at sources given up, and goes on with what is left.
func TestPausedTransition(t *testing.T) {
	w, c := spareWorld(t, 1)
	m := &moving{client: c, text: map[int]string{}}
	for i := range 32 {
		m.put(i, 1)
	}
	added, operator := w.Machines[3], w.Machines[1]
	moves := added.Node.Jobs().Find(transition.JobName)
	before := operator.Node.Cluster().LayoutNumber()
	if err := errors.Join(w.stage(operator, added, 1<<40), w.stage(operator, w.Machines[0], -1),
		w.apply(operator)); err != nil {
		t.Fatal(err)
	}
	begun := func() bool { s := moves.State(); return s.Bytes > 0 && s.Done < s.Total }
	if err := w.Sched.RunUntil(time.Minute, begun); err != nil {
		t.Fatalf("not seen between its first part and its last: %+v", moves.State())
	}
	moves.Pause()
	w.mustRun(t, time.Second)
	paused := moves.State()
	w.mustRun(t, 2*time.Minute)
	if now := moves.State(); now != paused || synced(added) {
		t.Errorf("paused at %+v, and then %+v", paused, now)
	}
	moves.Resume()
	w.mustSettle(t, before)
	for i := range 32 {
		m.get(i)
	}
	for _, wrong := range m.wrong {
		t.Error(wrong)
	}
}

// A block that is nowhere any more keeps a node which takes over partitions from ever being in sync, until it
// is given up; then the change goes on, the object is listed, and reading it says what was lost.
func TestLostBlockGivenUp(t *testing.T) {
	w, c := spareWorld(t, 1)
	m := &moving{client: c, text: map[int]string{}}
	for i := range 17 { // three in blocks
		m.put(i, 1)
	}
	w.mustRun(t, time.Minute)
	operator, added := w.Machines[1], w.Machines[3]
	h := operator.Disk.Files()[0]
	for _, m := range w.Machines[:3] {
		m.Disk.FlipBit(h, 77)
		m.Node.Blocks().StartScrub()
	}
	w.mustRun(t, 5*time.Minute)
	before := operator.Node.Cluster().LayoutNumber()
	if err := errors.Join(w.stage(operator, added, 1<<40), w.stage(operator, w.Machines[0], -1),
		w.apply(operator)); err != nil {
		t.Fatal(err)
	}
	w.mustSettle(t, before)
	lost, err := added.Node.Blocks().Lost(block.Hash{})
	if err != nil || len(lost) != 1 || lost[0].Hash != h {
		t.Fatalf("lost are %+v, %v", lost, err)
	}
	err = w.Do(time.Minute, func(ctx context.Context) error {
		why, err := added.Node.Blocks().GiveUp(ctx, []block.Hash{h})
		return errors.Join(append(why, err)...)
	})
	if err != nil {
		t.Fatal(err)
	}
	w.mustRun(t, 30*time.Minute)
	c.at = 4
	for i := range 17 {
		if m.path(i) != "/photos/"+lost[0].Refs[0].Key {
			m.get(i)
		}
	}
	got := c.do("GET", "/photos/"+lost[0].Refs[0].Key, nil)
	if body := got.Body.String(); got.Code != 500 || !strings.Contains(body, "<Code>BlockLost</Code>") ||
		!strings.Contains(body, h.String()) {
		t.Errorf("the object that lost a block: %d %s", got.Code, body)
	}
	c.expect(200, "HEAD", "/photos/"+lost[0].Refs[0].Key, nil)
	for _, wrong := range m.wrong {
		t.Error(wrong)
	}
}

// lose takes the store of a machine and brings the machine back.
func (w *World) lose(t *testing.T, m, via *Machine) {
	t.Helper()
	w.Crash(m)
	w.mustRun(t, time.Second)
	w.LoseStore(m)
	w.Boot(m)
	w.mustRun(t, time.Second)
	err := w.Do(time.Minute, func(ctx context.Context) error { return w.Rejoin(ctx, m) })
	if err != nil {
		t.Fatal(err)
	}
}

// synced reports whether all that m knows is that its store is in sync with the newest layout.
func synced(m *Machine) bool {
	_, far := m.Node.Cluster().Goal()
	return !m.Down() && !far
}

// A node that lost its store does not vote as if it had never had one: what only it and a node that is away
// had acknowledged is not denied by those that are left. Then it has everything again.
func TestLostStore(t *testing.T) {
	for seed := range uint64(3) {
		for _, mutant := range []string{"", "layout: a syncing store votes"} {
			w, c := spareWorld(t, seed, mutant)
			a, b, late := w.Machines[0], w.Machines[1], w.Machines[2]
			w.Crash(late)
			w.mustRun(t, time.Second)
			for i := range 20 {
				c.expect(200, "PUT", fmt.Sprintf("/photos/%03d", i), []byte("known to two"))
			}
			w.lose(t, b, a)
			w.Boot(late)
			w.Crash(a)
			w.mustRun(t, 2*time.Second)
			c.at = 3
			denied := 0
			for i := range 20 {
				if c.do("GET", fmt.Sprintf("/photos/%03d", i), nil).Code == 404 {
					denied++
				}
			}
			if (denied > 0) != (mutant != "") {
				t.Errorf("seed %d, mutant %q: %d of 20 acknowledged objects were denied", seed, mutant,
					denied)
			}
			if mutant != "" {
				continue
			}
			w.Boot(a)
			w.mustRun(t, time.Second)
			if err := w.Sched.RunUntil(2*time.Minute, func() bool { return synced(b) }); err != nil {
				t.Fatalf("seed %d: %s", seed, w.Standings())
			}
			w.Crash(a)
			w.mustRun(t, 10*time.Second)
			for i := range 20 {
				c.expect(200, "GET", fmt.Sprintf("/photos/%03d", i), nil)
			}
		}
	}
}

// What moved to other nodes does not stay where it was, rows nor blocks, and nothing else goes.
func TestSurplusIsDropped(t *testing.T) {
	w, c := spareWorld(t, 1)
	m := &moving{client: c, text: map[int]string{}}
	for i := range 40 {
		m.put(i, 1)
	}
	operator, drained := w.Machines[1], w.Machines[0]
	before := operator.Node.Cluster().LayoutNumber()
	if err := errors.Join(w.stage(operator, w.Machines[3], 1<<40), w.stage(operator, drained, -1),
		w.apply(operator)); err != nil {
		t.Fatal(err)
	}
	w.mustSettle(t, before)
	w.mustRun(t, 30*time.Minute)
	rows := 0
	err := drained.Node.Tables().Inventory(func(s table.Stock) {
		if !s.Full {
			rows++
		}
	})
	if err != nil || rows > 0 {
		t.Errorf("%d rows are left, %v", rows, err)
	}
	if err := drained.Node.Tables().CheckDigests(); err != nil {
		t.Error(err)
	}
	if n := len(drained.Disk.Files()); n > 0 {
		t.Errorf("%d blocks are left", n)
	}
	for i := range 40 {
		m.get(i)
	}
	for _, wrong := range m.wrong {
		t.Error(wrong)
	}
	for _, v := range differences(t, w) {
		t.Error(v)
	}
}

// What no replica has holds up no change: blocks that an upload left whose coordinator stopped before a
// second replica had them, and whose only copy was lost then. Nobody frees the references while the layout
// changes.
func TestLostBlocksHoldUpNoChange(t *testing.T) {
	w, c := spareWorld(t, 1)
	m := &moving{client: c, text: map[int]string{}}
	for i := range 16 {
		m.put(i, 1)
	}
	w.mustRun(t, 5*time.Second)
	for _, m := range w.Machines {
		w.Kill(m)
		w.LoseBlocks(m)
		w.Boot(m)
	}
	w.mustRun(t, time.Minute)
	for _, m := range w.Machines[:3] {
		m.Node.Blocks().StartScrub()
	}
	w.mustRun(t, time.Minute)
	if n, err := w.Machines[0].Node.Blocks().Missing(0, ^layout.Prefix(0)); err != nil || n == 0 {
		t.Fatalf("%d blocks are missing, %v", n, err)
	}
	operator := w.Machines[1]
	before := operator.Node.Cluster().LayoutNumber()
	if err := errors.Join(w.stage(operator, w.Machines[3], 1<<40), w.stage(operator, w.Machines[0], -1),
		w.apply(operator)); err != nil {
		t.Fatal(err)
	}
	w.mustSettle(t, before)
}

// TestInSyncFromThenOn: a node loses its store while the layout changes, and passes over the version that is
// read. It comes to hold what the new version gives it, and still does not answer for what the one before
// gave it and this one gives to others: what only the lost store and a node that is away had acknowledged is
// not denied.
func TestInSyncFromThenOn(t *testing.T) {
	for _, mutant := range []string{"", "layout: in sync backwards"} {
		w, _ := spareWorld(t, 1, "layout: the newest version first", mutant)
		knows, lost, late := w.Machines[0], w.Machines[1], w.Machines[2]
		w.Crash(late)
		w.mustRun(t, time.Second)
		item := func(i int) k2v.Key { return k2v.Key{PK: fmt.Sprint("pk", i), SK: "known to two"} }
		for i := range 20 {
			if err := w.Do(time.Minute, func(ctx context.Context) error {
				return w.On(ctx, knows, func(ctx context.Context, n *node.Node) error {
					_, err := n.Items().Insert(ctx, k2v.Write{Key: item(i)})
					return err
				})
			}); err != nil {
				t.Fatal(err)
			}
		}
		w.Boot(late)
		w.mustRun(t, time.Millisecond)
		for _, m := range w.Machines[:3] {
			m.Node.Jobs().Find(table.JobName).Pause()
		}
		late.Node.Jobs().Find(transition.JobName).Pause()
		w.mustRun(t, time.Second)
		for _, m := range w.Machines[3:] {
			if err := w.stage(knows, m, 1<<40); err != nil {
				t.Fatal(err)
			}
		}
		before := knows.Node.Cluster().LayoutNumber()
		if err := w.apply(knows); err != nil {
			t.Fatal(err)
		}
		for _, m := range w.Machines[3:] {
			m.SetPaused(true) // so that no set of theirs is readable
		}
		w.lose(t, lost, knows)
		lost.Node.Jobs().Find(table.JobName).Pause()
		if err := w.Sched.RunUntil(2*time.Minute, func() bool {
			goal, _ := lost.Node.Cluster().Goal()
			return goal.Version > before && !goal.Sync
		}); err != nil {
			t.Fatal(w.Standings())
		}
		w.Crash(knows)
		w.mustRun(t, 5*time.Second)
		denied := 0
		for i := range 20 {
			if err := w.Do(time.Minute, func(ctx context.Context) error {
				return w.On(ctx, late, func(ctx context.Context, n *node.Node) error {
					_, err := n.Items().Read(ctx, item(i))
					return err
				})
			}); errors.Is(err, k2v.ErrNoSuchItem) {
				denied++
			}
		}
		if (denied > 0) != (mutant != "") {
			t.Errorf("mutant %q: %d of 20 acknowledged items were denied: %s", mutant, denied, w.Standings())
		}
	}
}
