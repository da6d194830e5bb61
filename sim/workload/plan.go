package workload

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"granary/sim/check"
)

// Kind is what a line of a plan does.
type Kind string

// The kinds.
const (
	Put        Kind = "put"
	Abandon    Kind = "abandon" // a put whose body ends in the middle
	Get        Kind = "get"
	Range      Kind = "range"
	Head       Kind = "head"
	Delete     Kind = "delete"
	DeleteMany Kind = "delete-many"
	List       Kind = "list"
	Copy       Kind = "copy"
	Multipart  Kind = "multipart"
	Abort      Kind = "abort" // a multipart upload that is given up
)

// Op is one line of a plan.
type Op struct {
	ID     uint64        `json:"id"` // names the value; unique, never 0
	Client int           `json:"client"`
	Node   int           `json:"node"` // asked first
	Pause  time.Duration `json:"pause"`
	Kind   Kind          `json:"kind"`
	Key    string        `json:"key,omitempty"`
	Keys   []string      `json:"keys,omitempty"` // DeleteMany
	From   string        `json:"from,omitempty"` // Copy
	Size   int64         `json:"size,omitempty"`
	Parts  int           `json:"parts,omitempty"`  // Multipart: all but the last have the least size
	Offset int64         `json:"offset,omitempty"` // Range: first byte; Abandon: where the body ends
	Length int64         `json:"length,omitempty"` // Range
	Signed string        `json:"signed,omitempty"` // how a body is signed: hash, none, chunks
	Expect bool          `json:"expect,omitempty"` // wait for 100 Continue
	Prefix string        `json:"prefix,omitempty"` // List
	Delim  string        `json:"delim,omitempty"`  // List
	Max    int           `json:"max,omitempty"`    // List: lines of a page
	Level  check.Level   `json:"level,omitempty"`  // of a read; empty: that of the bucket
}

// Plan is what clients do: each its own lines, one after another.
type Plan struct {
	Clients int  `json:"clients"`
	Ops     []Op `json:"ops"`
}

// Options bound what a plan may hold. The zero value asks for the defaults.
type Options struct {
	Clients int           // 0: 4 to 10
	Ops     int           // of all clients; 0: 400
	Nodes   int           // 0: 1
	Span    time.Duration // over which the operations are spread, about; 0: one minute
	Inline  int64         // the store's limit for inline payloads, around which sizes crowd; 0: 32 KiB
	Block   int64         // the store's block size, likewise; 0: 1 MiB
	// Large is how many operations in a thousand have more than three blocks, or parts of 5 MiB; they cost
	// the machine real time. 0: 5; negative: none.
	Large int
	Kinds []Kind // the only ones that are drawn; nil: all
	First uint64 // id of the first operation; 0: 1
}

// partSize is the least size of a part that is not the last, in bytes.
const partSize = 5 << 20

// copyPrefix begins the keys that copies are made to; they are never copied from.
const copyPrefix = "copy/"

func (o Options) withDefaults(r *rand.Rand) Options {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	clients := 4 + r.IntN(7)
	set(&o.Clients, clients)
	set(&o.Ops, 400)
	set(&o.Nodes, 1)
	set(&o.Large, 5)
	if o.Span == 0 {
		o.Span = time.Minute
	}
	if o.Inline == 0 {
		o.Inline = 32 << 10
	}
	if o.Block == 0 {
		o.Block = 1 << 20
	}
	return o
}

// planner draws a plan.
type planner struct {
	r       *rand.Rand
	o       Options
	kinds   []Kind // each as often as its weight
	hot     int
	tail    int
	folders int
	hotness int // in ten operations, those on hot keys
	pause   time.Duration
	nodes   []int // of each client, -1 for any
}

// New draws a plan from a seed. Each seed draws first which kinds it holds and how often, how many keys are
// hot and how hot, so that plans differ in character and not only in order.
func New(seed uint64, o Options) Plan {
	r := rand.New(rand.NewPCG(seed, 0x706c616e))
	p := &planner{r: r, o: o.withDefaults(r)}
	weights := []struct {
		kind Kind
		most int
	}{
		{Delete, 6}, {DeleteMany, 2}, {Range, 4}, {Head, 4}, {List, 5},
		{Copy, 3}, {Multipart, 3}, {Abort, 1}, {Abandon, 2},
	}
	p.add(Put, 3+r.IntN(8))
	p.add(Get, 3+r.IntN(8))
	for _, w := range weights {
		if r.IntN(4) > 0 {
			p.add(w.kind, 1+r.IntN(w.most))
		}
	}
	if o.Kinds != nil {
		p.kinds = slices.DeleteFunc(p.kinds, func(k Kind) bool { return !slices.Contains(o.Kinds, k) })
	}
	p.hot, p.tail, p.folders, p.hotness = 1+r.IntN(4), 5+r.IntN(60), 1+r.IntN(6), 2+r.IntN(6)
	p.pause = 2 * p.o.Span * time.Duration(p.o.Clients) / time.Duration(p.o.Ops)
	for range p.o.Clients {
		node := -1
		if r.IntN(2) == 0 {
			node = r.IntN(p.o.Nodes)
		}
		p.nodes = append(p.nodes, node)
	}
	plan := Plan{Clients: p.o.Clients}
	for i := range p.o.Ops {
		plan.Ops = append(plan.Ops, p.op(max(o.First, 1)+uint64(i)))
	}
	return plan
}

// reads reports whether an operation of the kind only reads.
func (k Kind) reads() bool { return k == Get || k == Range || k == Head || k == List }

// DrawLevels gives some of the reads a level of their own.
func DrawLevels(r *rand.Rand, ops []Op) {
	for i := range ops {
		n := r.IntN(8)
		switch {
		case !ops[i].Kind.reads():
		case n == 0:
			ops[i].Level = check.Eventual
		case n == 1:
			ops[i].Level = check.Monotonic
		}
	}
}

func (p *planner) add(k Kind, n int) {
	for range n {
		p.kinds = append(p.kinds, k)
	}
}

// op draws a line.
func (p *planner) op(id uint64) Op {
	r := p.r
	op := Op{ID: id, Client: r.IntN(p.o.Clients), Kind: p.kinds[r.IntN(len(p.kinds))]}
	if op.Node = p.nodes[op.Client]; op.Node < 0 {
		op.Node = r.IntN(p.o.Nodes)
	}
	if r.IntN(5) > 0 { // else at once: bursts
		op.Pause = time.Duration(r.Int64N(int64(p.pause) * 5 / 4))
	}
	op.Key = p.key()
	switch op.Kind {
	case Put, Abandon:
		op.Size = p.size()
		op.Signed = []string{"hash", "none", "chunks"}[r.IntN(3)]
		op.Expect = r.IntN(8) == 0
		if op.Kind == Abandon {
			op.Size = max(op.Size, 1)
			op.Offset = r.Int64N(op.Size)
		}
	case Get, Head:
		if r.IntN(8) == 0 {
			op.Key = p.copyKey()
		}
	case Range:
		op.Offset, op.Length = r.Int64N(p.o.Inline), 1+r.Int64N(p.o.Inline)
	case DeleteMany:
		seen := map[string]bool{}
		for range 1 + r.IntN(6) {
			if k := p.key(); !seen[k] {
				seen[k] = true
				op.Keys = append(op.Keys, k)
			}
		}
		op.Key = ""
	case Copy:
		op.From, op.Key = op.Key, p.copyKey()
	case Multipart, Abort:
		op.Size, op.Parts = 1+r.Int64N(2*p.o.Inline), 1
		if r.IntN(100) < p.o.Large {
			op.Parts = 2
		}
	case List:
		p.list(&op)
	}
	return op
}

func (p *planner) list(op *Op) {
	op.Key = ""
	op.Max = []int{1, 2, 3, 10, 1000}[p.r.IntN(5)]
	if p.r.IntN(2) == 0 {
		op.Delim = "/"
	}
	switch p.r.IntN(4) {
	case 0:
		op.Prefix = fmt.Sprintf("tail/%d/", p.r.IntN(p.folders))
	case 1:
		op.Prefix = "tail/"
	case 2:
		op.Prefix = "hot"
	}
}

// key draws a hot key or one of the long tail.
func (p *planner) key() string {
	if p.r.IntN(10) < p.hotness {
		return fmt.Sprintf("hot-%d", p.r.IntN(p.hot))
	}
	n := p.r.IntN(p.tail)
	odd := []string{"", "", "", " ä", "+%2F", "&<'"}[n%6]
	return fmt.Sprintf("tail/%d/%d%s", n%p.folders, n, odd)
}

func (p *planner) copyKey() string { return fmt.Sprint(copyPrefix, p.r.IntN(5)) }

// size draws a size: tiny ones, those around the limits, a few of several blocks.
func (p *planner) size() int64 {
	r := p.r
	if r.IntN(1000) < p.o.Large {
		return 3*p.o.Block + r.Int64N(2*p.o.Block)
	}
	switch r.IntN(20) {
	case 0:
		return 0
	case 1, 2, 3:
		return p.o.Inline - 2 + r.Int64N(5)
	case 4, 5:
		return p.o.Inline + r.Int64N(3*p.o.Inline)
	case 6:
		return p.o.Block/4 + r.Int64N(p.o.Block/4)
	case 7:
		if r.IntN(10) == 0 {
			return p.o.Block - 2 + r.Int64N(5)
		}
	}
	return r.Int64N(4096)
}
