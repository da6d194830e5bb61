package campaign

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"granary/core/table"
	"granary/netsim"
	"granary/sim/check"
	"granary/sim/disk"
	"granary/sim/fault"
	"granary/sim/workload"
	"granary/sim/workload/items"
	"granary/sim/world"
)

// Plan is a simulation as data: everything that was drawn. Every part has a random stream of its own, so that
// removing a line changes none of the others.
type Plan struct {
	File    string   // that it was read from, if it was; not written
	Flags   string   // of the command that draws it from its seed; not written
	Seed    uint64   // of what the run itself draws: the network's jitter, the nodes' streams
	Mutants []string // protocol steps to break
	Config  Config
	Faults  []fault.Event
	Ops     []workload.Op // of the clients of objects
	Late    []workload.Op // after the healing; all of them must succeed
	Items   []items.Step  // of the clients of items
}

// Config is the cluster, and how its surroundings behave.
type Config struct {
	Zones int      `json:"zones"`
	Nodes []string `json:"nodes"` // as "a1": the first node of zone a
	// Gateways are nodes that store nothing in the first layout.
	Gateways []string      `json:"gateways,omitempty"`
	Delay    time.Duration `json:"delay"` // one way, between zones
	Jitter   time.Duration `json:"jitter"`
	Inside   time.Duration `json:"inside"` // one way, in a zone

	Shuffle    bool          `json:"shuffle,omitempty"`
	Yield      int           `json:"yield,omitempty"` // per mille
	Buggify    bool          `json:"buggify,omitempty"`
	Commit     time.Duration `json:"commit,omitempty"` // of a node's store
	SSD        bool          `json:"ssd,omitempty"`    // disks take their time
	NoSync     bool          `json:"nosync,omitempty"` // disks sync nothing
	Compress   bool          `json:"compress,omitempty"`
	EncodeSelf bool          `json:"encodeself,omitempty"`
	Resting    bool          `json:"resting,omitempty"` // anti-entropy rests until all is healed
	Keep       time.Duration `json:"keep,omitempty"`    // of deletion markers; 0: for ever
	Silent     int           `json:"silent,omitempty"`  // requests per mille whose node's end nobody tells of
	Settle     time.Duration `json:"settle,omitempty"`  // from the healing to the verification; 0: 2 minutes
	Level      check.Level   `json:"level,omitempty"`   // of the bucket; empty: read-after-write
	// Victims are the nodes that faults harm, or hit for good. Late operations, and a first verification
	// while they are still gone, go to the others.
	Victims []string `json:"victims,omitempty"`
}

// topology is the network.
func (c *Config) topology() (netsim.Topology, error) {
	between := netsim.Path{Delay: c.Delay, Jitter: c.Jitter}
	if c.Zones < 1 || c.Zones > 26 {
		return netsim.Topology{}, fmt.Errorf("%d zones, want 1 to 26", c.Zones)
	}
	t := netsim.Regular("drawn", c.Zones, 0, between, netsim.Path{Delay: c.Inside})
	for _, name := range c.Nodes {
		if len(name) < 2 {
			return t, fmt.Errorf("node %q, want one as a1", name)
		}
		t.Nodes = append(t.Nodes, netsim.Node{Name: name, Zone: name[:1]})
	}
	return t, t.Validate()
}

// world is the cluster.
func (p *Plan) world(o Options) (world.Options, error) {
	c := &p.Config
	t, err := c.topology()
	w := world.Default(p.Seed, t)
	w.Sched.Shuffle, w.Sched.YieldPerMille, w.Sched.Buggify = c.Shuffle, c.Yield, c.Buggify
	w.Sched.Mutants, w.Sched.Log, w.Sched.Window = p.Mutants, o.Log, o.Window
	w.Net.Observe = o.Observe
	w.Commit, w.NoSync, w.Compress, w.EncodeSelf = c.Commit, c.NoSync, c.Compress, c.EncodeSelf
	w.Resting, w.Gateways, w.Reclaim = c.Resting, c.Gateways, hasty()
	if c.Keep > 0 {
		w.Tombstones = table.Tombstones{Keep: c.Keep, Every: collectEvery}
	}
	if c.SSD {
		w.Disk = disk.SSD()
	}
	return w, err
}

// core are the indexes of the nodes that are no victims.
func (c *Config) core() (at []int) {
	for i, name := range c.Nodes {
		if !slices.Contains(c.Victims, name) {
			at = append(at, i)
		}
	}
	return at
}

// collectEvery is the mean time between two looks for deletion markers that may go.
const collectEvery = 8 * time.Second

// planHead is the first line of every plan.
const planHead = "granary simulation 1"

// Write writes the plan as text: a line for every fault and operation, which [ReadPlan] reads.
func (p *Plan) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s\nseed %d\n", planHead, p.Seed)
	for _, m := range p.Mutants {
		fmt.Fprintf(b, "mutant %s\n", m)
	}
	line := func(word string, v any) {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // plain data
		}
		fmt.Fprintf(b, "%s %s\n", word, text)
	}
	line("config", p.Config)
	for _, e := range p.Faults {
		fmt.Fprintf(b, "fault %v\n", e)
	}
	for _, op := range p.Ops {
		line("op", op)
	}
	for _, op := range p.Late {
		line("late", op)
	}
	for _, s := range p.Items {
		fmt.Fprintf(b, "item %d %d %v\n", s.Client, s.Number, s.Pause)
	}
	return b.Flush()
}

// String returns the plan as text.
func (p *Plan) String() string {
	var b strings.Builder
	p.Write(&b) // to memory
	return b.String()
}

// ReadPlan reads a plan. Empty lines, and those that begin with #, are skipped. Errors name the line.
func ReadPlan(text []byte) (*Plan, error) {
	p := &Plan{}
	headed := false
	for i, line := range bytes.Split(text, []byte("\n")) {
		s := strings.TrimSpace(string(line))
		if s == "" || s[0] == '#' {
			continue
		}
		if !headed {
			if s != planHead {
				return nil, fmt.Errorf("line %d: a plan begins with %q, this with %q", i+1, planHead, s)
			}
			headed = true
			continue
		}
		word, rest, _ := strings.Cut(s, " ")
		if err := p.read(word, rest); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	if !headed {
		return nil, fmt.Errorf("no plan: the line %q is missing", planHead)
	}
	_, err := p.Config.topology()
	return p, err
}

func (p *Plan) read(word, rest string) (err error) {
	switch word {
	case "seed":
		p.Seed, err = strconv.ParseUint(rest, 10, 64)
	case "mutant":
		p.Mutants = append(p.Mutants, rest)
	case "config":
		err = strict(rest, &p.Config)
	case "fault":
		var e fault.Event
		e, err = fault.Parse(rest)
		p.Faults = append(p.Faults, e)
	case "op", "late":
		var op workload.Op
		err = strict(rest, &op)
		if word == "op" {
			p.Ops = append(p.Ops, op)
		} else {
			p.Late = append(p.Late, op)
		}
	case "item":
		var s items.Step
		var pause string
		if _, err = fmt.Sscan(rest, &s.Client, &s.Number, &pause); err == nil {
			s.Pause, err = time.ParseDuration(pause)
		}
		p.Items = append(p.Items, s)
	default:
		err = fmt.Errorf("there is no %q in a plan", word)
	}
	return err
}

// strict parses JSON and refuses what it does not know.
func strict(text string, into any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// objects is the plan of the clients of objects; the ids of clients are made dense.
func objects(ops []workload.Op) workload.Plan {
	plan := workload.Plan{Ops: ops}
	for _, op := range ops {
		plan.Clients = max(plan.Clients, op.Client+1)
	}
	return plan
}

// clone returns a copy that shares no list.
func (p *Plan) clone() *Plan {
	q := *p
	q.Faults, q.Ops, q.Late = slices.Clone(p.Faults), slices.Clone(p.Ops), slices.Clone(p.Late)
	q.Items, q.Config.Nodes = slices.Clone(p.Items), slices.Clone(p.Config.Nodes)
	q.Config.Victims, q.Config.Gateways = slices.Clone(p.Config.Victims), slices.Clone(p.Config.Gateways)
	return &q
}
