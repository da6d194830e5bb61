package world

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"granary/netsim"
)

// promise is a story that ends well, unless the mutant breaks the step on which that depends.
type promise struct {
	mutant string
	kept   func(w *World, c *client) bool
}

// holds tells the story with the protocol whole, and broken.
func (p promise) holds(t *testing.T) {
	t.Helper()
	for _, mutant := range []string{"", p.mutant} {
		if kept := p.tell(t, mutant); kept != (mutant == "") {
			t.Errorf("with mutant %q: the promise is kept: %v", mutant, kept)
		}
	}
}

func (p promise) tell(t *testing.T, mutant string) bool {
	t.Helper()
	w, c := newBucket(t, 1, mutant)
	w.mustRun(t, 5*time.Second)
	return p.kept(w, c)
}

// ok fails the story when an operator's step fails.
func (c *client) ok(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// extraDelay is what slow paths of the stories take longer.
var extraDelay = netsim.Extra{Delay: 500 * time.Millisecond}

// The stories, by the mutant that breaks them. Machine A has a client whose site it is; B and C are
// elsewhere.
var (
	// The commit of an object goes on when its client hangs up. A's clock is behind: what it stamps
	// has to be stamped anew, when the client has long gone.
	commitOutlivesClient = promise{"write ends with its client", func(w *World, c *client) bool {
		model, a := w.Net.Model(), w.Machines[0]
		w.Machines[1].SetWall(40 * time.Second)
		c.ok(model.Isolate(a.Name))
		c.from(1).expect(200, "PUT", "/photos/x", []byte("old"))
		c.ok(model.Rejoin(a.Name))
		gone := c.from(0)
		gone.hangUp = 60 * time.Millisecond
		gone.do("PUT", "/photos/x", []byte("new"))
		w.mustRun(c.t, 20*time.Second)
		return c.from(2).expect(200, "GET", "/photos/x", nil).Body.String() == "new"
	}}
	// Replicas send tombstones up. A missed that X was deleted, and lists with one who knows.
	deletedStaysDeleted = promise{"listing filters before merging", func(w *World, c *client) bool {
		c.expect(200, "PUT", "/photos/x", []byte("meow"))
		for _, zone := range []string{w.Machines[1].Zone, w.Machines[2].Zone} {
			c.ok(w.Net.Model().Degrade(zone, w.Machines[0].Zone, extraDelay))
		}
		c.from(1).expect(204, "DELETE", "/photos/x", nil)
		list := c.from(0).expect(200, "GET", "/photos/?list-type=2", nil)
		return !bytes.Contains(list.Body.Bytes(), []byte("<Key>x</Key>"))
	}}
	// A block is verified on every read. Bits turn over on A's disk.
	rotIsNoticed = promise{"block not verified", func(w *World, c *client) bool {
		body := bytes.Repeat([]byte("meow"), 50_000)
		c.expect(200, "PUT", "/photos/x", body)
		disk := w.Machines[0].Disk
		for i, h := range disk.Files() {
			disk.FlipBit(h, uint64(100+i))
		}
		return bytes.Equal(c.from(0).expect(200, "GET", "/photos/x", nil).Body.Bytes(), body)
	}}
	// 200 is said only when the first block is in hand. No disk answers.
	noEarly200 = promise{"answers before its first block", func(w *World, c *client) bool {
		c.expect(200, "PUT", "/photos/x", bytes.Repeat([]byte("meow"), 50_000))
		for _, m := range w.Machines {
			m.Disk.Dead = true
		}
		return c.do("GET", "/photos/x", nil).Code >= 500
	}}
	// What would change what is stored is refused, not ignored.
	unknownIsRefused = promise{"unknown headers are ignored", func(w *World, c *client) bool {
		got := c.do("PUT", "/photos/x", []byte("meow"), "X-Amz-Invented-Tomorrow", "yes")
		return got.Code == 501 && c.do("GET", "/photos/x", nil).Code == 404
	}}
	// What is held in memory has a limit. The other replicas are silent, so what A has taken in
	// stays in memory; of 60 objects of a megabyte that come at once it takes 32.
	memoryIsBounded = promise{"memory without limit", func(w *World, c *client) bool {
		for _, m := range w.Machines[1:] {
			m.SetPaused(true)
		}
		for i := range 60 {
			w.Env.Go("put", func() {
				rec := &answer{ResponseRecorder: httptest.NewRecorder(), env: w.Sched}
				u := &url.URL{Scheme: "http", Host: "sim", Path: fmt.Sprintf("/photos/%d", i)}
				err := c.ask(w.Env.Background(), rec, "PUT", u, bytes.Repeat([]byte{byte(i)}, 1<<20), nil)
				c.ok(err)
			})
		}
		w.mustRun(c.t, time.Second)
		taken := len(w.Machines[0].Disk.Files())
		return 20 < taken && taken <= 32
	}}
	// A replica's clock that is ahead costs a round once: stamps exceed all that was heard of.
	heardStampsAreExceeded = promise{"stamps of the wall clock", func(w *World, c *client) bool {
		w.Machines[1].SetWall(30 * time.Second)
		c.from(1).expect(200, "PUT", "/photos/x", []byte("old"))
		w.mustRun(c.t, 5*time.Second)
		return c.from(0).expect(200, "PUT", "/photos/x", []byte("new")).took < 150*time.Millisecond
	}}
	// A bucket that was just made elsewhere is there, although the word has not come yet.
	newBucketIsThere = promise{"absent bucket not confirmed", func(w *World, c *client) bool {
		for _, zone := range []string{w.Machines[0].Zone, w.Machines[1].Zone} {
			c.ok(w.Net.Model().Degrade(zone, w.Machines[2].Zone, extraDelay))
		}
		c.from(0).expect(200, "PUT", "/films", nil)
		return c.from(2).do("HEAD", "/films", nil).Code == 200
	}}
)

func TestRule02CommitOutlivesItsClient(t *testing.T)      { commitOutlivesClient.holds(t) }
func TestRule04NothingIsFilteredBeforeIt(t *testing.T)    { deletedStaysDeleted.holds(t) }
func TestRule05BlocksAreVerified(t *testing.T)            { rotIsNoticed.holds(t) }
func TestRule06NoSuccessBeforeTheFirstBlock(t *testing.T) { noEarly200.holds(t) }
func TestRule08UnknownIsRefused(t *testing.T)             { unknownIsRefused.holds(t) }
func TestRule11MemoryIsBounded(t *testing.T)              { memoryIsBounded.holds(t) }
func TestHeardStampsAreExceeded(t *testing.T)             { heardStampsAreExceeded.holds(t) }
func TestNewBucketIsThere(t *testing.T)                   { newBucketIsThere.holds(t) }

// TestMutants lists the protocol steps that are broken by a story of their own.
func TestMutants(t *testing.T) {
	for _, p := range []promise{commitOutlivesClient, deletedStaysDeleted, rotIsNoticed, noEarly200,
		unknownIsRefused, memoryIsBounded, heardStampsAreExceeded, newBucketIsThere} {
		t.Run(p.mutant, func(t *testing.T) {
			if p.tell(t, p.mutant) {
				t.Error("its story ends well")
			}
			t.Log("found by its story: the client sees it")
		})
	}
	t.Run("bucket: no gate", noGate)
	t.Run("silent replica is waited for", func(t *testing.T) {
		if took := stoppedPeer(t, "silent replica is waited for"); took < patience {
			t.Errorf("nobody notices: a read takes %v", took)
		} else {
			t.Logf("found by its story: a read takes %v", took)
		}
	})
}
