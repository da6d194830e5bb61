package items

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"granary/core/api/k2v/client"
	"granary/sim/check"
	"granary/sim/workload/wire"
)

// worker is one client.
type worker struct {
	*runner
	seen   map[string]check.Seen // by key: what its last token covers
	now    Step
	draw   *rand.Rand // of the step
	values int        // that the step has written
}

// step makes one operation.
func (w *worker) step(s Step) {
	w.now, w.values = s, 0
	w.draw = rand.New(rand.NewPCG(w.Seed^0x6974656d73, uint64(s.Client)<<32|uint64(s.Number)))
	node := w.draw.IntN(w.Nodes)
	pk, sk := w.draw.IntN(w.pks), w.draw.IntN(w.sks)
	key := name(pk, sk)
	switch w.draw.IntN(12) {
	case 0, 1, 2, 3: // read, merge, write
		seen := w.read(node, pk, sk, -1)
		if seen.At > 0 {
			w.seen[key] = w.write(node, pk, sk, seen, w.value())
		}
	case 4, 5: // write with what is known, by a read or by a token that a write returned
		w.seen[key] = w.write(node, pk, sk, w.seen[key], w.value())
	case 6: // write without having read
		w.seen[key] = w.write(node, pk, sk, check.Seen{}, w.value())
	case 7:
		w.seen[key] = w.write(node, pk, sk, w.seen[key], "")
	case 8:
		w.batch(node, pk)
	case 9:
		if w.sweeps && w.draw.IntN(2) == 0 {
			w.sweep(node, pk, sk)
		} else {
			w.search(node, pk)
		}
	case 10:
		w.poll(node, pk, sk)
	default:
		w.seen[key] = w.read(node, pk, sk, -1)
	}
}

// value returns the next value, which no other step writes.
func (w *worker) value() string {
	w.values++
	return fmt.Sprintf("v%d.%d.%d", w.now.Client, w.now.Number, w.values)
}

// write writes a value, or deletes if it is empty, and returns what the client knows then.
func (w *worker) write(node, pk, sk int, from check.Seen, v string) check.Seen {
	i := w.History.Begin(w.Sched.Now(), check.ItemOp{Write: true, Key: name(pk, sk), Value: v, From: from})
	var value client.Value
	if v != "" {
		value = client.Value(v)
	}
	token, err := w.client(node).Insert(w.Env.Background(), fmt.Sprint("pk", pk), fmt.Sprint("sk", sk),
		client.Token(from.Token), value)
	outcome := meaning(err)
	w.History.End(w.Sched.Now(), i, outcome)
	w.Sched.Fold("item write", uint64(i), uint64(outcome), 0)
	if outcome != check.OK || token == "" {
		return check.Seen{}
	}
	op := &w.History.Ops[i]
	op.Got = check.Seen{Token: string(token), Deleted: v == "", At: op.Return}
	if v != "" {
		op.Got.Values = []string{v}
	}
	return op.Got
}

// meaning says what an error means for a write.
func meaning(err error) check.Outcome {
	var refused *client.Error
	var lost *wire.Error
	switch {
	case err == nil:
		return check.OK
	case errors.Is(err, errRefused), errors.As(err, &lost) && !lost.Whole,
		errors.As(err, &refused) && (refused.Status < 500 || refused.Code == "ServiceUnavailable" ||
			refused.Code == "SlowDown"):
		return check.Failed
	}
	return check.Unknown
}

// batch writes some items of a partition without having read them, or in place of what is known.
func (w *worker) batch(node, pk int) {
	var list []client.Insertion
	var ops []int
	for sk := range w.sks {
		if w.draw.IntN(2) == 0 {
			continue
		}
		in := client.Insertion{PK: fmt.Sprint("pk", pk), SK: fmt.Sprint("sk", sk)}
		op := check.ItemOp{Write: true, Key: name(pk, sk), Value: w.value()}
		if seen, ok := w.seen[op.Key]; ok && seen.Token != "" && w.draw.IntN(2) == 0 {
			token := client.Token(seen.Token)
			in.Token, op.From = &token, seen
		}
		in.Value = client.Value(op.Value)
		list, ops = append(list, in), append(ops, w.History.Begin(w.Sched.Now(), op))
	}
	if len(list) == 0 {
		return
	}
	outcome := meaning(w.client(node).InsertBatch(w.Env.Background(), list))
	for _, i := range ops {
		w.History.End(w.Sched.Now(), i, outcome)
	}
}

// sweep deletes what the store finds of an item, or of a whole partition.
func (w *worker) sweep(node, pk, sk int) {
	from, to := 0, w.sks
	d := client.Deletion{PK: fmt.Sprint("pk", pk)}
	if w.draw.IntN(2) == 0 {
		from, to = sk, sk+1
		d.Start, d.SingleItem = fmt.Sprint("sk", sk), true
	}
	var ops []int
	for sk := from; sk < to; sk++ {
		op := check.ItemOp{Write: true, Sweep: true, Key: name(pk, sk)}
		ops = append(ops, w.History.Begin(w.Sched.Now(), op))
	}
	counts, err := w.client(node).DeleteBatch(w.Env.Background(), []client.Deletion{d})
	outcome, deleted := meaning(err), 0
	if err == nil {
		deleted = counts[0]
	}
	for _, i := range ops {
		w.History.End(w.Sched.Now(), i, outcome)
	}
	w.Sched.Fold("item sweep", uint64(ops[0]), uint64(outcome), uint64(deleted))
}

// search reads a whole partition.
func (w *worker) search(node, pk int) {
	var ops []int
	for sk := range w.sks {
		ops = append(ops, w.History.Begin(w.Sched.Now(), check.ItemOp{Key: name(pk, sk)}))
	}
	found, err := w.client(node).ReadBatch(w.Env.Background(),
		[]client.Search{{PK: fmt.Sprint("pk", pk), Tombstones: true, Reverse: w.draw.IntN(2) == 0}})
	for sk, i := range ops {
		item := client.Item{}
		if err == nil {
			for _, f := range found[0].Items {
				if f.SortKey == fmt.Sprint("sk", sk) {
					item = f
				}
			}
		}
		w.seen[name(pk, sk)] = w.got(i, item, err)
	}
}

// poll waits for a change after what is known.
func (w *worker) poll(node, pk, sk int) {
	key := name(pk, sk)
	from := w.seen[key]
	i := w.History.Begin(w.Sched.Now(), check.ItemOp{Key: key, Wait: true, From: from})
	item, err := w.client(node).Poll(w.Env.Background(), fmt.Sprint("pk", pk), fmt.Sprint("sk", sk),
		client.Token(from.Token), pollTime)
	if errors.Is(err, client.ErrNothingNew) {
		w.History.Ops[i].Nothing = true
		w.History.End(w.Sched.Now(), i, check.OK)
		return
	}
	w.seen[key] = w.got(i, item, err)
}
