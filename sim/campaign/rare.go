package campaign

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Rare are the rare states that the standard seeds must reach: places in the code, named by env.Sometimes,
// where the interesting things happen. A change that disarms a fault, or a step that is never taken any more,
// shows here first.
var Rare = []string{
	"a block's lanes failed it",
	"a layout was applied under faults",
	"a layout was closed in parts",
	"a layout was closed without a node",
	"a lost store synced while a layout changed",
	"a replica answered behind",
	"a replica answered late",
	"a replaced version was reclaimed",
	"a row below the floor was passed over",
	"a row went that is gone elsewhere",
	"a store was set back",
	"an epoch waits for a replica that is away",
	"an upload was reclaimed",
	"a row was there before its coordinator knew that it may be",
	"anti-entropy after a hint",
	"anti-entropy brought a row",
	"anti-entropy sent a row",
	"block fetched in pieces",
	"block read hedged",
	"block sent in pieces",
	"cluster document merged",
	"deletion markers went",
	"disk: dead",
	"disk: failed sync",
	"disk: full",
	"disk: misdirected write",
	"disk: unreadable sector",
	"fence refused a write",
	"guessed block was right",
	"in sync with parts of a layout",
	"k2v notification lost",
	"k2v poll woken",
	"k2v write tried at another replica",
	"k2v write was there already",
	"kv: several updates in one commit",
	"listing took a second round",
	"lost store waits before it syncs",
	"monotonic read met a newer write",
	"monotonic read wrote back",
	"read fence refused a request",
	"read repair",
	"reference needed a body",
	"replica delivered a damaged block",
	"replica was not in sync",
	"rows taken over for a layout",
	"rpc: a call moves to a new connection",
	"stored block found damaged before a write",
	"surplus rows dropped",
	"the audit released an orphan",
	"waited for a block buffer",
	"write planned anew with a newer layout",
	"write stamped anew",
}

// Reached lists all rare states that were reached and in how many seeds, and those of Rare that were not.
func (t *Total) Reached() string {
	var b strings.Builder
	names := append(slices.Sorted(maps.Keys(t.Sometimes)), Rare...)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		fmt.Fprintf(&b, "  %6d  %s\n", t.Sometimes[name], name)
	}
	return b.String()
}

// Missing lists what of Rare was never reached.
func (t *Total) Missing() (names []string) {
	for _, name := range Rare {
		if t.Sometimes[name] == 0 {
			names = append(names, name)
		}
	}
	return names
}
