package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"granary/core/block"
	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/cors"
	"granary/core/job"
	"granary/core/layout"
	"granary/core/rt"
	"granary/core/table"
)

// testEnv is as much of an rt.Env as the API needs, for ordinary goroutines.
type testEnv struct {
	rt.Env
	lines []string
}

var epoch = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

var self, other = rt.NodeID{1}, rt.NodeID{2}

// noLock is a lock of tests that are one task.
type noLock struct{}

func (noLock) Lock()   {}
func (noLock) Unlock() {}

func (e *testEnv) Self() rt.NodeID    { return self }
func (e *testEnv) NewLock() rt.Locker { return noLock{} }
func (e *testEnv) Now() time.Duration { return time.Second }
func (e *testEnv) Wall() time.Time    { return epoch }
func (e *testEnv) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}
func (e *testEnv) Gauge(string, float64, ...string) {}
func (e *testEnv) Info(msg string, kv ...any)       { e.lines = append(e.lines, fmt.Sprint(msg, kv)) }
func (e *testEnv) Warn(msg string, kv ...any)       { e.lines = append(e.lines, fmt.Sprint(msg, kv)) }
func (e *testEnv) Error(msg string, kv ...any)      { e.lines = append(e.lines, fmt.Sprint(msg, kv)) }
func (e *testEnv) Count(string, float64, ...string) {}
func (e *testEnv) logged(text string) bool {
	return strings.Contains(strings.Join(e.lines, "\n"), text)
}
func (f *fakeBuckets) All() ([]bucket.Bucket, error)  { return f.buckets, f.err }
func (f *fakeBuckets) Keys() ([]bucket.Key, error)    { return f.keys, f.err }
func (f *fakeCluster) Status() cluster.Status         { return f.status }
func (f *fakeCluster) Sync(context.Context) error     { return f.err }
func (f *fakeCluster) History() []cluster.PastVersion { return f.past }

// fakeBuckets keeps buckets and keys in memory.
type fakeBuckets struct {
	buckets []bucket.Bucket
	keys    []bucket.Key
	err     error // of everything
}

func (f *fakeBuckets) ByName(_ context.Context, name string) (bucket.Bucket, error) {
	for _, b := range f.buckets {
		if b.Name == name {
			return b, f.err
		}
	}
	return bucket.Bucket{}, cmp.Or(f.err, fmt.Errorf("bucket %q: %w", name, bucket.ErrNoSuchBucket))
}

func (f *fakeBuckets) Create(ctx context.Context, name string, owner bucket.KeyID) (bucket.Bucket, error) {
	if b, err := f.ByName(ctx, name); err == nil {
		return b, fmt.Errorf("bucket %q: %w", name, bucket.ErrBucketExists)
	}
	b := bucket.Bucket{ID: bucketID(name), Name: name, Owner: owner, Created: epoch,
		Grants: []bucket.Grant{{Key: owner, Read: true, Write: true, Owner: true}}}
	f.buckets = append(f.buckets, b)
	return b, f.err
}

func (f *fakeBuckets) Delete(_ context.Context, b bucket.Bucket) error {
	if b.Name == "full" {
		return fmt.Errorf("bucket %q: %w", b.Name, bucket.ErrBucketNotEmpty)
	}
	f.buckets = slices.DeleteFunc(f.buckets, func(x bucket.Bucket) bool { return x.Name == b.Name })
	return f.err
}

func (f *fakeBuckets) SetCORS(_ context.Context, b bucket.Bucket, rules cors.Rules) error {
	if err := rules.Check(); len(rules) > 0 && err != nil {
		return err
	}
	i := slices.IndexFunc(f.buckets, func(x bucket.Bucket) bool { return x.Name == b.Name })
	f.buckets[i].CORS = rules
	return f.err
}

func (f *fakeBuckets) SetConsistency(_ context.Context, b bucket.Bucket, level table.Consistency) error {
	i := slices.IndexFunc(f.buckets, func(x bucket.Bucket) bool { return x.Name == b.Name })
	f.buckets[i].Consistency = level
	return f.err
}

func (f *fakeBuckets) Change(ctx context.Context, name string, key bucket.KeyID, change func(*bucket.Grant)) (
	bucket.Bucket, error) {
	b, err := f.ByName(ctx, name)
	if err != nil {
		return b, err
	}
	g, _ := b.Grant(key)
	change(&g)
	i := slices.IndexFunc(f.buckets, func(x bucket.Bucket) bool { return x.Name == b.Name })
	grants := slices.DeleteFunc(slices.Clone(b.Grants), func(x bucket.Grant) bool { return x.Key == g.Key })
	if g.Read || g.Write || g.Owner {
		grants = append(grants, g)
	}
	f.buckets[i].Grants = grants
	return f.buckets[i], f.err
}

func (f *fakeBuckets) Key(_ context.Context, id bucket.KeyID) (bucket.Key, error) {
	for _, k := range f.keys {
		if k.ID == id {
			return k, f.err
		}
	}
	return bucket.Key{}, cmp.Or(f.err, fmt.Errorf("access key %q: %w", id, bucket.ErrNoSuchKey))
}

func (f *fakeBuckets) CreateKey(ctx context.Context, name string, create bool) (bucket.Key, error) {
	return f.PutKey(ctx, bucket.Key{ID: "GKNEW", Secret: "new secret", Name: name, CreateBuckets: create})
}

func (f *fakeBuckets) PutKey(_ context.Context, k bucket.Key) (bucket.Key, error) {
	k.Created = epoch
	f.keys = append(f.keys, k)
	return k, f.err
}

func (f *fakeBuckets) DeleteKey(ctx context.Context, id bucket.KeyID) error {
	_, err := f.Key(ctx, id)
	f.keys = slices.DeleteFunc(f.keys, func(x bucket.Key) bool { return x.ID == id })
	return err
}

// fakeCluster remembers what it was asked.
type fakeCluster struct {
	status  cluster.Status
	err     error // of everything
	params  layout.Params
	role    layout.Role
	removed rt.NodeID
	lost    []rt.NodeID
	retired rt.NodeID
	to      uint64
	past    []cluster.PastVersion
	adopted *layout.Version
}

// live makes the fake a cluster of two replicas with a layout of what its nodes offer.
func (f *fakeCluster) live() {
	f.want(nil)
	f.status.Layout, _ = layout.Assign(f.status.Roles, f.status.Params, nil)
	f.want(nil)
}

// want stages roles: those that the nodes offer, as change leaves them.
func (f *fakeCluster) want(change func(*layout.Role)) {
	f.status.Roles = nil
	for _, n := range f.status.Nodes {
		r := layout.Role{Node: n.ID, Zone: n.Zone, Capacity: n.Capacity}
		if change != nil {
			change(&r)
		}
		f.status.Roles = append(f.status.Roles, r)
	}
	slices.SortFunc(f.status.Roles, func(a, b layout.Role) int { return a.Node.Compare(b.Node) })
	if f.status.Layout != nil {
		f.status.Pending = layout.Changes(f.status.Layout.Roles, f.status.Roles)
	}
}

func (f *fakeCluster) Adopt(_ context.Context, v *layout.Version) error {
	f.adopted = v
	return f.err
}

func (f *fakeCluster) StageParams(_ context.Context, change func(*layout.Params)) error {
	change(&f.status.Params)
	f.status.PendingParams = true
	return f.err
}

func (f *fakeCluster) Retire(_ context.Context, n rt.NodeID) error {
	f.retired = n
	return f.err
}

func (f *fakeCluster) Revert(_ context.Context, to uint64) error {
	f.to = to
	return f.err
}

func (f *fakeCluster) Found(_ context.Context, p layout.Params, r layout.Role) error {
	f.params, f.role, f.status.ID = p, r, make([]byte, 16)
	return f.err
}

func (f *fakeCluster) JoinWith(_ context.Context, _ cluster.Token, r layout.Role) error {
	f.role, f.status.ID = r, make([]byte, 16)
	return f.err
}

func (f *fakeCluster) NewToken(context.Context) (cluster.Token, error) {
	return cluster.Token{Addr: "a:1", Node: self, Secret: make([]byte, 32)}, f.err
}

func (f *fakeCluster) Stage(_ context.Context, r layout.Role) error {
	f.role = r
	return f.err
}

func (f *fakeCluster) AcceptLoss(_ context.Context, n rt.NodeID) error {
	f.lost = append(f.lost, n)
	return f.err
}

func (f *fakeCluster) Remove(_ context.Context, n rt.NodeID) error {
	f.removed = n
	return f.err
}

// fakeBlocks is a store whose scrubs are said.
type fakeBlocks struct {
	started   int
	now, last block.ScrubPass
	lost      []block.LostBlock
	after     block.Hash
	gone      []block.Hash
	why       []error
	err       error // of GiveUp
}

func (f *fakeBlocks) Lost(after block.Hash) ([]block.LostBlock, error) {
	f.after = after
	return f.lost, nil
}

func (f *fakeBlocks) Nowhere() (n int64, err error) {
	for _, l := range f.lost {
		if !l.GivenUp {
			n++
		}
	}
	return n, nil
}

func (f *fakeBlocks) GiveUp(_ context.Context, list []block.Hash) ([]error, error) {
	f.gone = list
	return f.why, f.err
}

// fakeRows counts the scrubs that were begun.
type fakeRows struct{ started int }

func (f *fakeRows) StartScrub() { f.started++ }

func (f *fakeBlocks) StartScrub()                         { f.started++ }
func (f *fakeBlocks) Scrubs() (now, last block.ScrubPass) { return f.now, f.last }

// world is an API over fakes: two nodes, a key, a bucket.
type world struct {
	env     *testEnv
	cluster *fakeCluster
	buckets *fakeBuckets
	facts   Facts
	ready   error
	jobs    *job.Book
	blocks  *fakeBlocks
	rows    *fakeRows
	api     *Handler
}

const aSecret = "the secret of GKA"

func newWorld() *world {
	w := &world{env: &testEnv{},
		facts: Facts{Version: "v1", Name: "here", S3Listen: "127.0.0.1:3900", S3Region: "us-east-1",
			MetadataFsync: true, BlocksFsync: true, DiskTotal: 100e9, DiskFree: 50e9,
			Zone: "paris", Capacity: 99e9},
		buckets: &fakeBuckets{keys: []bucket.Key{{ID: "GKA", Secret: aSecret, Name: "a", Created: epoch}}},
		cluster: &fakeCluster{status: cluster.Status{ID: make([]byte, 16), Founder: self,
			Params: layout.Params{Replicas: 2, Partitions: 8},
			Nodes: []cluster.NodeStatus{
				{ID: self, Member: cluster.Member{Name: "here", Addr: "h:1"}, Zone: "paris", Capacity: 99e9,
					Connected: true},
				{ID: other, Member: cluster.Member{Name: "there", Addr: "t:1"}, Zone: "lyon", Capacity: 99e9,
					Connected: true},
			}}}}
	w.buckets.Create(context.Background(), "photos", "GKA")
	w.jobs, w.blocks, w.rows = job.NewBook(w.env), &fakeBlocks{}, &fakeRows{}
	w.api = New(Config{Env: w.env, Cluster: w.cluster, Buckets: w.buckets,
		Facts: func(context.Context) Facts { return w.facts }, Ready: func() error { return w.ready },
		Jobs: w.jobs, Blocks: w.blocks, Rows: w.rows,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "metrics!")
		}),
		Authorize: func(token string) bool { return token == "right" }})
	return w
}

// do asks, on the trusted side, and decodes the answer into out; it returns the status and the answer's text.
func (w *world) do(t *testing.T, method, path, body string, out any) (int, string) {
	t.Helper()
	rec := httptest.NewRecorder()
	w.api.Trusted().ServeHTTP(rec, httptest.NewRequest(method, path, strings.NewReader(body)))
	text := rec.Body.String()
	if out != nil {
		if err := json.Unmarshal([]byte(text), out); err != nil {
			t.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
	return rec.Code, text
}

// must is do that fails the test unless the answer is 200.
func (w *world) must(t *testing.T, method, path, body string, out any) string {
	t.Helper()
	code, text := w.do(t, method, path, body, out)
	if code != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, path, code, text)
	}
	return text
}

// bucketID is the id that the fake gives a bucket.
func bucketID(name string) (id bucket.BucketID) {
	copy(id[:], name)
	return id
}
