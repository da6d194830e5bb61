package fault

import "slices"

// Kind is what happens to a machine or a path.
type Kind string

// The kinds of faults.
const (
	Crash        Kind = "crash"
	Kill         Kind = "kill"
	Pause        Kind = "pause"
	ZoneLoss     Kind = "zone-loss"
	Restarts     Kind = "restarts"
	TornWrite    Kind = "torn-write"
	SyncFailure  Kind = "sync-failure"
	StoreFailure Kind = "store-failure"

	Isolate   Kind = "isolate"
	Partition Kind = "partition"
	OneWay    Kind = "one-way"
	Flap      Kind = "flap"
	Latency   Kind = "latency"
	Loss      Kind = "loss"

	Clock      Kind = "clock"
	ClockJumps Kind = "clock-jumps"

	SlowDisk   Kind = "slow-disk"
	DeadDisk   Kind = "dead-disk"
	FullDisk   Kind = "full-disk"
	Rot        Kind = "rot"
	BadSector  Kind = "bad-sector"
	Misdirect  Kind = "misdirected-write"
	LostBlocks Kind = "lost-blocks"
	RowRot     Kind = "row-rot"
	LostStore  Kind = "lost-store"
	SetBack    Kind = "set-back"

	LayoutChange Kind = "layout-change"
)

// aim is what a fault hits.
type aim uint8

const (
	node aim = iota
	zone
	zones      // two, in a direction
	everything // On is "*"
)

// unit is that of an amount.
type unit uint8

const (
	none unit = iota
	duration
	number
)

// Info describes a kind.
type Info struct {
	Kind Kind
	Text string // what happens; {} stands for the amount
	// Harm says that data are destroyed, so that only victims may be hit.
	Harm bool
	// Cuts says that a power cut is part of it.
	Cuts bool
	// Awaits is what the store lacks to survive it in every case; empty: it is drawn.
	Awaits string

	aim    aim
	amount unit
	most   int64 // of what is drawn; times for durations
}

var kinds = []Info{
	{Kind: Crash, Text: "power cut of a machine, which starts again at the end", Cuts: true},
	{Kind: Kill, Text: "kill -9 of a node's process on a machine that lives on; it starts again at the end"},
	{Kind: Pause, Text: "a node is stopped as by SIGSTOP: its connections stay open"},
	{Kind: ZoneLoss, Text: "power cut of all machines of a zone", aim: zone, Cuts: true},
	{Kind: Restarts, Text: "all nodes are restarted, one after another, in the {}th random order",
		aim: everything, amount: number, most: 1 << 20},
	{Kind: TornWrite, Text: "power cut in the middle of the machine's next write of a block", Cuts: true},
	{Kind: SyncFailure, Text: "the {}th coming sync of a block fails; the node is restarted at the end",
		amount: number, most: 4},
	{Kind: StoreFailure, Text: "syncs of the metadata store fail, which stops the node until the end"},

	{Kind: Isolate, Text: "no packet to or from a machine"},
	{Kind: Partition, Text: "a zone is cut off from the others", aim: zone},
	{Kind: OneWay, Text: "packets from one zone to another are lost", aim: zones},
	{Kind: Flap, Text: "a zone is cut off and back, for {} each", aim: zone, amount: duration, most: 4e9},
	{Kind: Latency, Text: "everything from one zone to another takes {} longer", aim: zones, amount: duration,
		most: 500e6},
	{Kind: Loss, Text: "{} in a million packets from one zone to another are lost", aim: zones,
		amount: number, most: 50_000},

	{Kind: Clock, Text: "a wall clock is {} ahead; it jumps there and back", amount: duration, most: 60e9},
	{Kind: ClockJumps, Text: "a wall clock jumps every second, up to {} ahead or back", amount: duration,
		most: 60e9},

	{Kind: SlowDisk, Text: "a machine's disk takes {} times its time", amount: number, most: 100},
	{Kind: DeadDisk, Text: "a machine's disk answers nothing; at the end it is back, and the node restarted"},
	{Kind: FullDisk, Text: "a machine's disk has room for {} more pages of 4 KiB", amount: number, most: 64},
	{Kind: Rot, Text: "a bit turns over in {} files of a machine's disk", amount: number, most: 20,
		Harm: true},
	{Kind: BadSector, Text: "{} files of a machine's disk cannot be read", amount: number, most: 20,
		Harm: true},
	{Kind: Misdirect, Text: "a page of the next {} writes lands in another file", amount: number, most: 3,
		Harm: true},
	{Kind: LostBlocks, Text: "a machine's blocks are gone, and its node is restarted", Harm: true},
	{Kind: RowRot, Text: "a bit turns over in {} rows of a machine's store", amount: number, most: 5,
		Harm: true, Awaits: "the end of a version whose row has spread, and whose only payload rots"},
	{Kind: LostStore, Text: "a machine loses its metadata and its blocks, and joins anew at the end; " +
		"unless another one that lost its own is not whole again", Harm: true},
	{Kind: SetBack, Text: "a machine is, at the end, what it was at the beginning, as a virtual machine " +
		"that is restored from an image; once all others have stored that they heard of it since, and " +
		"unless another one that lost its store is not whole again", Harm: true, Cuts: true},

	{Kind: LayoutChange, Text: "an operator stages {} GiB as a node's capacity, 0 to drain it; at the end " +
		"one applies what is staged", amount: number, most: 4096},
}

// Kinds describes all kinds, in the order of reports.
func Kinds() []Info { return slices.Clone(kinds) }

// Harms reports whether the kind destroys data.
func (k Kind) Harms() bool {
	f, _ := k.info()
	return f.Harm
}

// info returns the description of a kind; ok is false if there is none of that name.
func (k Kind) info() (Info, bool) {
	i := slices.IndexFunc(kinds, func(f Info) bool { return f.Kind == k })
	if i < 0 {
		return Info{}, false
	}
	return kinds[i], true
}
