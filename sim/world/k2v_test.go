package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	k2v "granary/core/api/k2v/client"
	"granary/core/api/k2v/k2vtest"
	"granary/core/auth"
	"granary/core/bucket"
	"granary/core/cors"
	"granary/core/crdt"
	"granary/core/goldentest"
	items "granary/core/k2v"
	"granary/core/layout"
	"granary/core/node"
	"granary/core/rt"
	"granary/core/table"
	"granary/netsim"
)

// k2vClient returns a client of machine i.
func k2vClient(w *World, i int, key bucket.Key) *k2v.Client {
	return &k2v.Client{HTTP: w.K2VDoer(i), Endpoint: "http://sim", Bucket: "bucket", Region: Region,
		Key: auth.KeyID(key.ID), Secret: auth.Secret(key.Secret), Now: w.Env.Wall}
}

func TestK2VStory(t *testing.T) {
	w, _ := flatWorld(t, 7)
	key, err := w.MakeBucket("bucket")
	if err != nil {
		t.Fatal(err)
	}
	buckets := func(ctx context.Context, f func(ctx context.Context, b *bucket.Store) error) error {
		return w.On(ctx, w.Machines[0], func(ctx context.Context, n *node.Node) error {
			return f(ctx, n.Buckets())
		})
	}
	story := ""
	err = w.Do(time.Hour, func(ctx context.Context) error {
		var reader, writer bucket.Key
		err := buckets(ctx, func(ctx context.Context, b *bucket.Store) (err error) {
			reader, writer, err = k2vtest.Keys(ctx, b)
			return err
		})
		if err != nil {
			return err
		}
		story = k2vtest.Run(t, k2vtest.World{Ctx: ctx,
			Client: k2vClient(w, 0, key), Reader: k2vClient(w, 0, reader), Writer: k2vClient(w, 0, writer),
			Go: func(f func()) func() {
				done := rt.NewFuture[struct{}](w.Env)
				w.Env.Go("beside", func() { f(); done.Set(struct{}{}, nil) })
				return func() { done.Get(w.Env.Background()) }
			},
			Settle: func() { w.Env.Sleep(w.Env.Background(), 5*time.Second) },
			SetCORS: func(rules cors.Rules) error {
				return buckets(ctx, func(ctx context.Context, b *bucket.Store) error {
					return k2vtest.SetCORS(ctx, b, rules)
				})
			},
			CutOff: func() {
				if err := w.Net.Model().Isolate(w.Machines[0].Name); err != nil {
					t.Error(err)
				}
			},
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if goldentest.Updating() {
		if err := os.WriteFile("../../core/api/k2v/k2vtest/testdata/answers.txt", []byte(story),
			0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestK2VRounds holds the K2V operations to their budgets.
func TestK2VRounds(t *testing.T) {
	w, _ := flatWorld(t, 8)
	key, err := w.MakeBucket("bucket")
	if err != nil {
		t.Fatal(err)
	}
	c := k2vClient(w, 0, key)
	ctx := context.Background()
	must := func(what string, rounds float64, f func() error) {
		t.Helper()
		from := w.Sched.Now()
		if err := f(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := float64(w.Sched.Now()-from) / float64(roundTrip); got > rounds+0.05 || got < rounds-0.05 {
			t.Errorf("%s: %.2f rounds, budget %v", what, got, rounds)
		}
	}
	err = w.Do(time.Hour, func(context.Context) error {
		var token k2v.Token
		insert := func(v string) func() error {
			return func() (err error) {
				token, err = c.Insert(ctx, "pk", "sk", token,
					k2v.Value(v))
				return err
			}
		}
		insert("warm-up")()
		w.Env.Sleep(w.Env.Background(), 10*time.Second)
		must("InsertItem", 1, insert("1"))
		must("a chained InsertItem", 1, insert("2"))
		must("ReadItem", 1, func() error { _, err := c.Read(ctx, "pk", "sk"); return err })
		must("DeleteItem", 1, func() error { _, err := c.Insert(ctx, "pk", "gone", "", nil); return err })
		var batch []k2v.Insertion
		var searches []k2v.Search
		for i := range 100 {
			pk := fmt.Sprint("pk", i)
			batch = append(batch, k2v.Insertion{PK: pk, SK: "sk", Value: k2v.Value("x")})
			searches = append(searches, k2v.Search{PK: pk})
		}
		must("InsertBatch", 1, func() error { return c.InsertBatch(ctx, batch) })
		must("ReadBatch", 1, func() error { _, err := c.ReadBatch(ctx, searches); return err })
		must("DeleteBatch", 2, func() error {
			_, err := c.DeleteBatch(ctx, []k2v.Deletion{{PK: "pk1"}, {PK: "pk2", Prefix: "s"}})
			return err
		})
		must("ReadIndex", 1, func() error { _, err := c.ReadIndex(ctx, k2v.Search{}); return err })
		// A poll is woken by the first replica that has the write, and reads once.
		done := rt.NewFuture[time.Duration](w.Env)
		w.Env.Go("poll", func() {
			_, err := c.Poll(ctx, "pk", "sk", token, time.Minute)
			done.Set(w.Sched.Now(), err)
		})
		w.Env.Sleep(w.Env.Background(), time.Second)
		from := w.Sched.Now()
		insert("3")()
		woken, err := done.Get(ctx)
		if got := float64(woken-from) / float64(roundTrip); err != nil || got > 2.05 {
			t.Errorf("poll wake-up: %.2f rounds, budget 2: %v", got, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestK2VClockSurvives: a node that writes after a crash, with its clock set back, writes later than it
// did before, so that a follower who has seen the earlier write is told of the later one. Without its
// durable clock it would not be, which shows that the test can fail.
func TestK2VClockSurvives(t *testing.T) {
	for _, mutant := range []string{"", "k2v clock forgotten"} {
		topology, err := netsim.Preset("3dc-100ms-flat")
		if err != nil {
			t.Fatal(err)
		}
		o := Default(3, topology)
		if mutant != "" {
			o.Sched.Mutants = []string{mutant}
		}
		w, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		if err := w.Form(); err != nil {
			t.Fatal(err)
		}
		key, err := w.MakeBucket("bucket")
		if err != nil {
			t.Fatal(err)
		}
		m, c := w.Machines[0], k2vClient(w, 0, key)
		told := 0
		err = w.Do(time.Hour, func(context.Context) error {
			ctx := w.Env.Background()
			m.SetWall(30 * time.Second)
			if _, err := c.Insert(ctx, "pk", "before", "", k2v.Value("1")); err != nil {
				return err
			}
			news, err := c.PollRange(ctx, k2v.Search{PK: "pk"}, "", time.Second)
			if err != nil {
				return err
			}
			w.Crash(m)
			m.SetWall(0)
			w.Env.Sleep(ctx, time.Second)
			w.Boot(m)
			w.Env.Sleep(ctx, 10*time.Second)
			if _, err := c.Insert(ctx, "pk", "after", "", k2v.Value("2")); err != nil {
				return err
			}
			next, err := c.PollRange(ctx, k2v.Search{PK: "pk"}, news.Marker, 30*time.Second)
			if told = len(next.Items); mutant != "" {
				return nil
			}
			return err
		})
		if err != nil || (told == 1) != (mutant == "") {
			t.Errorf("mutant %q: told of %d items, %v", mutant, told, err)
		}
	}
}

// TestK2VAntiEntropyWakesPolls: a poll waits at a replica that is cut off when the item is written, and
// misses both the write and the message about it. Anti-entropy brings the item, and the poll answers at once,
// long before it would have looked by itself, as it does when changes wake nobody.
func TestK2VAntiEntropyWakesPolls(t *testing.T) {
	for _, mutant := range []string{"", "k2v changes wake no poll"} {
		w, c := newBucket(t, 2, mutant)
		writer, poller := k2vClient(w, 0, c.key), k2vClient(w, 2, c.key)
		writer.Bucket, poller.Bucket = "photos", "photos"
		late := w.Machines[2]
		has := func() (found bool) {
			if err := late.Node.Tables().Inventory(func(s table.Stock) {
				found = found || strings.Contains(s.Key, "late news")
			}); err != nil {
				t.Error(err)
			}
			return found
		}
		err := w.Do(time.Hour, func(ctx context.Context) error {
			type answer struct {
				item k2v.Item
				at   time.Duration
			}
			answered := rt.NewFuture[answer](w.Env)
			w.Env.Go("poll", func() {
				item, err := poller.Poll(ctx, "pk", "late news", "", 5*time.Minute)
				answered.Set(answer{item, w.Sched.Now()}, err)
			})
			w.Env.Sleep(ctx, time.Second)
			if err := w.Net.Model().Isolate(late.Name); err != nil {
				return err
			}
			if _, err := writer.Insert(ctx, "pk", "late news", "", k2v.Value("x")); err != nil {
				return err
			}
			w.Env.Sleep(ctx, 13*time.Second) // the message about it is given up, and one look was in vain
			if has() {
				t.Error("the replica missed nothing")
			}
			if err := w.Net.Model().Rejoin(late.Name); err != nil {
				return err
			}
			for !has() {
				w.Env.Sleep(ctx, 10*time.Millisecond)
			}
			arrived := w.Sched.Now()
			a, err := answered.Get(ctx)
			if err != nil || string(a.item.Values[0]) != "x" {
				t.Errorf("mutant %q: the poll answers %q, %v", mutant, a.item.Values, err)
			}
			took := a.at - arrived
			if woken := took < 2*time.Second; woken != (mutant == "") {
				t.Errorf("mutant %q: the poll answered %v after the row came", mutant, took)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestK2VDeleteBatchSpares: a value that is written while a batch deletes the item, after it read and before
// it writes, survives; what was read is gone.
func TestK2VDeleteBatchSpares(t *testing.T) {
	w, _ := flatWorld(t, 10)
	key, err := w.MakeBucket("bucket")
	if err != nil {
		t.Fatal(err)
	}
	c, other := k2vClient(w, 0, key), k2vClient(w, 2, key)
	err = w.Do(time.Hour, func(ctx context.Context) error {
		for _, v := range []string{"read 1", "read 2"} {
			if _, err := c.Insert(ctx, "pk", "sk", "", k2v.Value(v)); err != nil {
				return err
			}
		}
		done := rt.NewFuture[[]int](w.Env)
		w.Env.Go("delete", func() { done.Set(c.DeleteBatch(ctx, []k2v.Deletion{{PK: "pk"}})) })
		w.Env.Sleep(ctx, roundTrip*6/10) // the replicas' answers are on their way
		if _, err := other.Insert(ctx, "pk", "sk", "", k2v.Value("written meanwhile")); err != nil {
			return err
		}
		n, err := done.Get(ctx)
		if err != nil || n[0] != 1 {
			t.Errorf("%v items deleted, %v", n, err)
		}
		item, err := c.Read(ctx, "pk", "sk")
		var left []string
		for _, v := range item.Values {
			if v != nil {
				left = append(left, string(v))
			}
		}
		if err != nil || len(left) != 1 || left[0] != "written meanwhile" || len(item.Values) != 2 {
			t.Errorf("left: %q, %v", item.Values, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestK2VPollDefault: a poll that names no time waits for 300 s.
func TestK2VPollDefault(t *testing.T) {
	w, c := newBucket(t, 3)
	poller := k2vClient(w, 0, c.key)
	poller.Bucket = "photos"
	err := w.Do(time.Hour, func(ctx context.Context) error {
		first, err := poller.PollRange(ctx, k2v.Search{PK: "pk"}, "", time.Second)
		if err != nil {
			return err
		}
		for _, ask := range [][3]string{{"GET", "/photos/pk?sort_key=sk&causality_token=AAAAAAAAAAA", ""},
			{"SEARCH", "/photos/pk?poll_range", `{"seenMarker":"` + first.Marker + `"}`}} {
			began := w.Sched.Now()
			a, err := poller.Raw(ctx, ask[0], ask[1], nil, []byte(ask[2]))
			took := w.Sched.Now() - began
			if err != nil || a.Status != 304 || took < 300*time.Second || took > 301*time.Second {
				t.Errorf("%s: %d %s after %v, %v", ask[1], a.Status, a.Body, took, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestK2VIndexPassesOver: counts of a bucket whose index has lost its quorum, more of them than one pass
// sends, do not keep those of another bucket from its index.
func TestK2VIndexPassesOver(t *testing.T) {
	w, _ := flatWorld(t, 11)
	key, err := w.MakeBucket("bucket")
	if err != nil {
		t.Fatal(err)
	}
	down := []*Machine{w.Machines[1], w.Machines[3]} // a2 and b2
	err = w.Do(time.Hour, func(ctx context.Context) error {
		stuck, free, err := twoBuckets(ctx, w, bucket.KeyID(key.ID), down)
		if err != nil {
			return err
		}
		c := k2vClient(w, 0, key)
		c.Bucket = stuck
		many := make([]k2v.Insertion, 3000)
		for i := range many {
			many[i] = k2v.Insertion{PK: fmt.Sprint("pk", i), SK: "x", Value: k2v.Value("x")}
		}
		if err := c.InsertBatch(ctx, many); err != nil {
			return err
		}
		for _, m := range down {
			w.Crash(m)
		}
		c.Bucket = free
		for i := 0; ; i++ { // a partition that still has its quorum
			if _, err = c.Insert(ctx, fmt.Sprint("pk", i), "x", "", k2v.Value("x")); err == nil {
				break
			}
		}
		w.Env.Sleep(ctx, 3*time.Minute)
		if page, err := c.ReadIndex(ctx, k2v.Search{}); err != nil || len(page.Partitions) == 0 {
			t.Errorf("the other bucket's index: %+v, %v", page, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// twoBuckets makes buckets until the index of one lies on all of some machines, and that of another, whose id
// is behind, on one of them at most.
func twoBuckets(ctx context.Context, w *World, owner bucket.KeyID, down []*Machine) (stuck, free string,
	err error) {
	var first bucket.BucketID
	for i := 0; stuck == "" || free == ""; i++ {
		err := w.On(ctx, w.Machines[0], func(ctx context.Context, n *node.Node) error {
			b, err := n.Buckets().Create(ctx, fmt.Sprint("bucket-", i), owner)
			if err != nil {
				return err
			}
			view, err := n.Cluster().View(layout.PrefixOf(b.ID[:]))
			hit := 0
			for _, m := range down {
				if slices.Contains(view.Targets(), m.ID) {
					hit++
				}
			}
			switch {
			case stuck == "" && hit == len(down):
				stuck, first = b.Name, b.ID
			case stuck != "" && hit < len(down) && bytes.Compare(b.ID[:], first[:]) > 0:
				free = b.Name
			}
			return err
		})
		if err != nil {
			return "", "", err
		}
	}
	return stuck, free, nil
}

// TestK2VRefusedAfterSilence: a replica that does not answer may have written what the next one refuses. The
// client is told that the outcome is unknown; if the first one answers, that nothing was written.
func TestK2VRefusedAfterSilence(t *testing.T) {
	for _, silent := range []bool{false, true} {
		w, c := spareWorld(t, 1)
		k := k2vClient(w, 3, c.key) // of a gateway, whose nearest replica is the first machine
		k.Bucket = "photos"
		w.Machines[0].SetPaused(silent)
		ahead := k2v.Token(items.Token(crdt.Context{{Node: 1, Time: 1 << 60}}))
		err := w.Do(time.Minute, func(ctx context.Context) error {
			_, err := k.Insert(ctx, "pk", "sk", ahead, k2v.Value("x"))
			return err
		})
		want := "InvalidRequest"
		if silent {
			want = "OutcomeUnknown"
		}
		var refused *k2v.Error
		if !errors.As(err, &refused) || refused.Code != want {
			t.Errorf("silent %v: %v; want %s", silent, err, want)
		}
	}
}
