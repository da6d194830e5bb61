package world

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	k2v "granary/core/api/k2v/client"
	"granary/core/table"
)

// items are the local keys of the items that the machine has.
func (m *Machine) items() (keys [][]byte) {
	m.kv.Reader().Ascend([]byte{table.RowPrefix}, nil, func(k, _ []byte) bool {
		if table.ID(k[3]) == table.K2VItem {
			keys = append(keys, slices.Clone(k))
		}
		return true
	})
	return keys
}

// indexed is what a machine's reading of the index says of a partition key.
func indexed(ctx context.Context, c *k2v.Client, pk string) (p k2v.Partition, err error) {
	page, err := c.ReadIndex(ctx, k2v.Search{})
	for _, one := range page.Partitions {
		if one.PK == pk {
			p = one
		}
	}
	return p, err
}

// Two items rot at a replica that is away while more values are written into one of them. Nobody knows what
// it had counted them as; when they are repaired it counts what it has, and tells the index.
func TestStoryRottenItemsAreCounted(t *testing.T) {
	for _, mutant := range []string{"", "k2v: a repaired item is counted as it was"} {
		o := Default(31, preset(t, "3dc-100ms-flat"))
		w, err := formed(t, o, mutant)
		if err != nil {
			t.Fatal(err)
		}
		key, err := w.MakeBucket("bucket")
		if err != nil {
			t.Fatal(err)
		}
		c := k2vClient(w, 0, key)
		values := 0
		insert := func(sort ...string) {
			t.Helper()
			err := w.Do(time.Minute, func(ctx context.Context) (err error) {
				for _, sk := range sort {
					values++
					_, failed := c.Insert(ctx, "pk", sk, "", k2v.Value(fmt.Sprint(values)))
					err = errors.Join(err, failed)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			w.mustRun(t, 20*time.Second)
		}
		insert("1", "2", "3")
		i := 1 + slices.IndexFunc(w.Machines[1:], func(m *Machine) bool { return len(m.items()) == 3 })
		late := w.Machines[i]
		if err := w.Net.Model().Isolate(late.Name); err != nil {
			t.Fatal(err)
		}
		insert("1", "1")
		for _, k := range late.items()[:2] {
			draws := []uint64{0, 77} // the first record from the key on, and the bit
			late.kv.FlipBitFrom(k, func() uint64 { draw := draws[0]; draws = draws[1:]; return draw })
		}
		if err := w.Net.Model().Rejoin(late.Name); err != nil {
			t.Fatal(err)
		}
		late.Node.Tables().StartScrub()
		w.mustRun(t, 3*time.Minute)
		unsound, err := w.Check()
		if err != nil || (len(unsound) > 0) != (mutant != "") {
			t.Errorf("mutant %q: %v, %v", mutant, unsound, err)
		}
		err = w.Do(time.Minute, func(ctx context.Context) error {
			p, err := indexed(ctx, k2vClient(w, i, key), "pk")
			if err == nil && mutant == "" && (p.Entries != 3 || p.Values != 5 || p.Conflicts != 1) {
				t.Errorf("the index says %+v", p)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
