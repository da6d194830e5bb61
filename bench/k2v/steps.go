package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"granary/bench/report"
	"granary/core/api/k2v/client"
)

// cell makes operations with so many clients at a time, most of them or for perCell, and prints what they
// took.
func (b *bench) cell(what string, clients, most int, op func(k *client.Client, i int) error) error {
	before, err := b.cluster.Usage()
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for w := range clients {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if most > 0 && i >= most || most == 0 && time.Since(start) > b.perCell {
					return
				}
				from := time.Now()
				err := op(b.clients[w%len(b.clients)], i)
				mu.Lock()
				took, failed = append(took, time.Since(from)), errors.Join(failed, err)
				stop := failed != nil
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	wg.Wait()
	all := time.Since(start)
	after, err := b.cluster.Usage()
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	slices.Sort(took)
	at := func(percent int) string {
		return fmt.Sprintf("%.2f", report.Millis(took[min(len(took)*percent/100, len(took)-1)]))
	}
	b.addRow(b.name, what, fmt.Sprint(clients), fmt.Sprint(len(took)),
		report.Short(report.Millis(after.CPU-before.CPU)/float64(len(took))),
		report.Short(float64(len(took))/all.Seconds()), at(50), at(99))
	return nil
}

// value is what items hold: 100 bytes.
var value = client.Value(fmt.Sprintf("%0100d", 1))

func place(i int) (pk, sk string) { return fmt.Sprintf("items/%d", i%100), fmt.Sprintf("%08d", i) }

// items measures inserts and reads of single items.
func (b *bench) items(ctx context.Context) error {
	var written atomic.Int64
	for _, clients := range []int{1, 16} {
		err := b.cell("insert", clients, 0, func(k *client.Client, _ int) error {
			pk, sk := place(int(written.Add(1)) - 1)
			_, err := k.Insert(ctx, pk, sk, "", value)
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, clients := range []int{1, 16} {
		err := b.cell("read", clients, 0, func(k *client.Client, i int) error {
			pk, sk := place(i % int(written.Load()))
			_, err := k.Read(ctx, pk, sk)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// batches measures batches of 100 items, all of one partition key, and of as many.
func (b *bench) batches(ctx context.Context) error {
	for _, kind := range []string{"one partition", "100 partitions"} {
		err := b.cell("insert batch of 100, "+kind, 4, 0, func(k *client.Client, i int) error {
			list := make([]client.Insertion, 100)
			for n := range list {
				list[n] = client.Insertion{PK: fmt.Sprint("batch/", i), SK: fmt.Sprint(n), Value: value}
				if kind != "one partition" {
					list[n].PK = fmt.Sprint("spread/", n)
					list[n].SK = fmt.Sprint(i)
				}
			}
			return k.InsertBatch(ctx, list)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// index fills many partition keys, and lists them all.
func (b *bench) index(ctx context.Context) error {
	const batch = 500
	err := b.cell(fmt.Sprintf("insert batch of %d partition keys", batch), 4, b.partitions/batch,
		func(k *client.Client, i int) error {
			list := make([]client.Insertion, batch)
			for n := range list {
				list[n] = client.Insertion{PK: fmt.Sprintf("index/%07d", i*batch+n), SK: "x", Value: value}
			}
			return k.InsertBatch(ctx, list)
		})
	if err != nil {
		return err
	}
	from := time.Now()
	for {
		pages, found := 0, 0
		began := time.Now()
		for start := ""; ; pages++ {
			page, err := b.clients[0].ReadIndex(ctx, client.Search{Prefix: "index/", Start: start})
			if err != nil {
				return err
			}
			if found += len(page.Partitions); !page.More {
				break
			}
			start = page.NextStart
		}
		if found == b.partitions/batch*batch {
			b.addFact(fmt.Sprintf("%d partition keys (%s): listed by one client", found, b.name),
				"%.2f s, in %d pages", time.Since(began).Seconds(), pages+1)
			b.addFact(fmt.Sprintf("%d partition keys (%s): in the index after the last insert", found,
				b.name), "%.1f s", began.Sub(from).Seconds())
			return nil
		}
		if time.Since(from) > 10*time.Minute {
			return fmt.Errorf("the index has %d of %d partition keys after 10 minutes", found, b.partitions)
		}
		time.Sleep(time.Second)
	}
}

// poll lets many polls wait for items of one partition through one node, and wakes them all.
func (b *bench) poll(ctx context.Context) error {
	k := b.clients[0]
	before, err := b.cluster.Usage()
	if err != nil {
		return err
	}
	woken := make([]time.Time, b.polls)
	errs := make([]error, b.polls)
	var wg sync.WaitGroup
	for i := range b.polls {
		wg.Go(func() {
			_, errs[i] = k.Poll(ctx, "polled", fmt.Sprint(i), "", 120*time.Second)
			woken[i] = time.Now()
		})
	}
	time.Sleep(15 * time.Second) // all wait, and have renewed once
	after, err := b.cluster.Usage()
	if err != nil {
		return err
	}
	list := make([]client.Insertion, b.polls)
	for i := range list {
		list[i] = client.Insertion{PK: "polled", SK: fmt.Sprint(i), Value: value}
	}
	from := time.Now()
	if err := k.InsertBatch(ctx, list); err != nil {
		return err
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	slices.SortFunc(woken, time.Time.Compare)
	name := fmt.Sprintf("%d polls on one partition (%s)", b.polls, b.name)
	b.addFact(name+": memory of each, in all processes together", "%.0f KB",
		float64(after.Anon-before.Anon)/float64(b.polls)/1e3)
	b.addFact(name+": woken by one batch", "the first after %.0f ms, the last after %.0f ms",
		report.Millis(woken[0].Sub(from)), report.Millis(woken[len(woken)-1].Sub(from)))
	return nil
}
