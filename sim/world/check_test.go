package world

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	k2v "granary/core/api/k2v/client"
	"granary/core/kv"
	"granary/core/kv/memkv"
	"granary/core/layout"
	"granary/core/node"
	"granary/core/table"
)

// stocked is a world of three machines with small and large objects, deletions, an upload and items.
func stocked(t *testing.T) *World {
	w, c := newBucket(t, 11)
	for i := range 20 {
		c.expect(200, "PUT", fmt.Sprintf("/photos/%02d", i), bytes.Repeat([]byte{'a'}, 100+i))
	}
	c.expect(204, "DELETE", "/photos/03", nil)
	c.expect(200, "PUT", "/photos/large", bytes.Repeat([]byte("0123456789abcdef"), 200_000))
	c.expect(200, "PUT", "/photos/large", bytes.Repeat([]byte("fedcba9876543210"), 200_000))
	c.expect(200, "POST", "/photos/parts?uploads", nil)
	items := k2vClient(w, 0, c.key)
	items.Bucket = "photos"
	err := w.Do(time.Minute, func(ctx context.Context) error {
		for i := range 5 {
			if _, err := items.Insert(ctx, "mail", fmt.Sprint(i), "", k2v.Value("hello")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.mustRun(t, 10*time.Second)
	return w
}

// find returns the first record whose key has the prefix, and whose key is long enough to be more than that.
func find(t *testing.T, r kv.Reader, prefix string) (key, value []byte) {
	t.Helper()
	r.Ascend([]byte(prefix), nil, func(k, v []byte) bool {
		if strings.HasPrefix(string(k), prefix) {
			key, value = bytes.Clone(k), bytes.Clone(v)
		}
		return false
	})
	if key == nil {
		t.Fatalf("no record %q", prefix)
	}
	return key, value
}

// rowOf returns the nth row of a table.
func rowOf(t *testing.T, r kv.Reader, id table.ID, n int) (key, value []byte) {
	t.Helper()
	r.Ascend([]byte{table.RowPrefix}, nil, func(k, v []byte) bool {
		if table.ID(k[3]) == id {
			if n--; n < 0 {
				key, value = bytes.Clone(k), bytes.Clone(v)
			}
		}
		return key == nil
	})
	if key == nil {
		t.Fatalf("table %d has no such row", id)
	}
	return key, value
}

// damages are what may be wrong with a store, and what Check says of it.
var damages = []struct {
	name  string
	want  string
	spoil func(t *testing.T, w kv.Writer)
}{
	{"a bit of a row", "object row", func(t *testing.T, w kv.Writer) {
		k, v := rowOf(t, w, table.Object, 0)
		v[len(v)/2] ^= 1
		w.Put(k, v)
	}},
	{"a row of another table", "stored as payload row", func(t *testing.T, w kv.Writer) {
		k, _ := rowOf(t, w, table.Object, 0)
		_, v := rowOf(t, w, table.Payload, 0)
		w.Put(k, v)
	}},
	{"a row under another prefix", "its partition key's is", func(t *testing.T, w kv.Writer) {
		k, v := rowOf(t, w, table.Object, 0)
		k[1] ^= 1
		w.Put(k, v)
	}},
	{"an unknown table", "unknown table", func(t *testing.T, w kv.Writer) {
		w.Put([]byte{table.RowPrefix, 0, 0, 200, 1}, []byte("x"))
	}},
	{"a key that is too short", "a key of 5 bytes", func(t *testing.T, w kv.Writer) {
		w.Put([]byte{table.RowPrefix, 0, 0, byte(table.Object), 1}, []byte("x"))
	}},
	{"a missing payload", "parts of it are missing", func(t *testing.T, w kv.Writer) {
		k, _ := rowOf(t, w, table.Payload, 0)
		w.Delete(k)
	}},
	{"another payload", "its payload of", func(t *testing.T, w kv.Writer) {
		k, _ := rowOf(t, w, table.Payload, 0)
		_, v := rowOf(t, w, table.Payload, 1)
		w.Put(k, v)
	}},
	{"a lost row", "digests are not those of the rows", func(t *testing.T, w kv.Writer) {
		k, _ := rowOf(t, w, table.Object, 0)
		w.Delete(k)
	}},
	{"a digest that cannot be read", "a digest that cannot be read", func(t *testing.T, w kv.Writer) {
		k, _ := find(t, w, "\x7f\x03")
		w.Put(k, []byte("?"))
	}},
	{"a lost item", "counted {Entries:5", func(t *testing.T, w kv.Writer) {
		k, _ := rowOf(t, w, table.K2VItem, 0)
		w.Delete(k)
	}},
	{"a lost count", "its items were not counted", func(t *testing.T, w kv.Writer) {
		k, _ := find(t, w, "\x01k2v/count/")
		w.Delete(k)
	}},
	{"a count of nothing", "without items", func(t *testing.T, w kv.Writer) {
		k, v := find(t, w, "\x01k2v/count/")
		k[len(k)-1] ^= 1
		w.Put(k, v)
	}},
	{"a register", "register/", func(t *testing.T, w kv.Writer) {
		k, v := find(t, w, "\x01register/")
		v[3] ^= 1
		w.Put(k, v)
	}},
	{"the cluster document", "cluster/document", func(t *testing.T, w kv.Writer) {
		k, v := find(t, w, "\x01cluster/document")
		v[3] ^= 1
		w.Put(k, v)
	}},
	{"no store identity", "no identity", func(t *testing.T, w kv.Writer) {
		w.Delete([]byte("\x01node/store"))
	}},
	{"an unknown record", "no part of this program knows it", func(t *testing.T, w kv.Writer) {
		w.Put([]byte("\x01nobody/knows"), []byte("x"))
	}},
	{"a block that is not there", "its file is not", func(t *testing.T, w kv.Writer) {
		k, v := find(t, w, "\x02block/present/")
		k[len(k)-1] ^= 1
		w.Put(k, v)
	}},
	{"a block of another size", "recorded as", func(t *testing.T, w kv.Writer) {
		k, v := find(t, w, "\x02block/present/")
		v[7] ^= 1
		w.Put(k, v)
	}},
	{"a block that nobody fetches", "not queued to be fetched", func(t *testing.T, w kv.Writer) {
		k, _ := find(t, w, "\x02block/present/")
		w.Delete(k)
	}},
}

// TestCheck finds nothing wrong with what a cluster made, and names each of many planted faults.
func TestCheck(t *testing.T) {
	w := stocked(t)
	m := w.Machines[0]
	inspect := func(t *testing.T, image *memkv.Image) *node.Report {
		t.Helper()
		report, err := w.inspectStore(image.Reader(), m)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	whole := inspect(t, m.kv)
	if whole.Faulty != 0 || whole.Blocks.Blocks < 4 || whole.Blocks.Missing != 0 || whole.Records < 60 {
		t.Fatalf("%+v", whole)
	}
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			image := m.kv.Copy()
			err := w.Do(time.Minute, func(ctx context.Context) error {
				s := memkv.Open(w.Env, image, memkv.Options{})
				defer s.Close()
				return s.Update(ctx, func(w kv.Writer) error { d.spoil(t, w); return nil })
			})
			if err != nil {
				t.Fatal(err)
			}
			report := inspect(t, image)
			if text := strings.Join(report.Faults, "\n"); !strings.Contains(text, d.want) {
				t.Errorf("want %q among %d faults: %s", d.want, report.Faulty, text)
			}
		})
	}
	h := m.Disk.Files()[0]
	m.Disk.FlipBit(h, 77)
	if report := inspect(t, m.kv); report.Faulty != 1 || !strings.Contains(report.Faults[0], h.String()) {
		t.Errorf("after a bit of block %v turned over: %q", h, report.Faults)
	}
	all, err := w.Check()
	if err != nil || len(all) != 1 || !strings.Contains(all[0].Key, m.Name) {
		t.Errorf("%v, %v", all, err)
	}
}

// TestCheckCountsWhatIsNoFault tells what crashes leave behind by design from what is wrong.
func TestCheckCountsWhatIsNoFault(t *testing.T) {
	w := stocked(t)
	m := w.Machines[0]
	image := m.kv.Copy()
	err := w.Do(time.Minute, func(ctx context.Context) error {
		s := memkv.Open(w.Env, image, memkv.Options{})
		defer s.Close()
		return s.Update(ctx, func(w kv.Writer) error {
			k, _ := find(t, w, "\x02block/present/")
			w.Delete(k)
			hash := string(k[len(k)-32:])
			prefix := layout.PrefixOf([]byte(hash))
			at := string([]byte{byte(prefix >> 8), byte(prefix)})
			w.Put([]byte("\x02block/wanted/"+at+hash), []byte{0, 0})
			w.Put([]byte("\x02block/rank/\x00"+hash), nil)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	report, err := w.inspectStore(image.Reader(), m)
	if err != nil || report.Faulty != 0 || report.Blocks.Leftover != 1 || report.Blocks.Missing != 1 {
		t.Errorf("%+v, %v", report, err)
	}
}
