package main

import (
	"math"
	"strconv"
	"testing"
)

// zoned are the methods that promise zones, but for the optimum.
var zoned = []string{"try 1", "min-hash walk", "Maglev walk", "try 2", "rendezvous", "straw"}

// The verdict of README.md on events, from the committed data.
func TestVerdictOfEvents(t *testing.T) {
	events := readData(t, "events.csv", eventsHeader)
	settings := len(settings())
	if want := (settings-1)*4*len(methods()) + 5*len(methods()); len(events) != want {
		t.Fatalf("%d lines, want %d", len(events), want)
	}
	for i, line := range events {
		one := events[i : i+1]
		if seeds := one.number(t, "seeds"); seeds != seedsWhole {
			t.Errorf("%v: %v seeds, want %d", line, seeds, seedsWhole)
		}
		if line["setting"] == "random" && one.number(t, "usable_low") >= one.number(t, "usable_high") {
			t.Errorf("all seeds are alike: %v", line)
		}
		violations := one.number(t, "violations_pct")
		plain := line["method"] == "consistent hashing"
		if plain && violations < 25 || !plain && violations != 0 {
			t.Errorf("%s: %v %% of rows violate zones: %v", line["method"], violations, line)
		}
		ripple := one.number(t, "moved_over_least")
		switch line["method"] {
		case "consistent hashing", "try 1", "rendezvous", "optimum", "optimum 1 %":
			if ripple != 1 {
				t.Errorf("%s moves %v times the least: %v", line["method"], ripple, line)
			}
		case "try 2":
			if line["stage"] == "change" && ripple < 1.15 {
				t.Errorf("try 2 moves only %v times the least: %v", ripple, line)
			}
		}
	}
	for _, kind := range events.where(t, "method", "optimum") {
		place := []string{"setting", kind["setting"], "nodes", kind["nodes"], "event", kind["event"]}
		best := events.where(t, append(place, "method", "optimum")...).number(t, "usable_pct")
		for _, name := range zoned {
			if got := events.where(t, append(place, "method", name)...).number(t, "usable_pct"); got > best {
				t.Errorf("%v: %s holds %v %%, the optimum %v %%", place, name, got, best)
			}
		}
	}
}

// The talk's cluster: what the optimum holds in TB, and the moves of the four changes.
func TestVerdictOfTalk(t *testing.T) {
	optimum := readData(t, "events.csv", eventsHeader).where(t, "setting", "talk", "method", "optimum")
	for event, want := range map[string]struct{ bound, usable, moved float64 }{
		initial:                {15, 14.884, 0},
		"remove celeri":        {10, 10, 11.1},
		"add 10 TB in neptune": {20, 20, 8.3},
		"io 20 to 40 TB":       {15, 14.884, 0},
		"4th zone of 10 TB":    {22.5, 22.456, 14.7},
	} {
		line := optimum.where(t, "event", event)
		for column, want := range map[string]float64{"bound_tb": want.bound, "usable_tb": want.usable} {
			if got := line.number(t, column); math.Abs(got-want) > 0.0005 {
				t.Errorf("%s: %s %v, want %v", event, column, got, want)
			}
		}
		if got := line.number(t, "moved_pct"); math.Abs(got-want.moved) > 0.05 {
			t.Errorf("%s: %v %% moved, want %v", event, got, want.moved)
		}
	}
}

// What random clusters were expected to show, and what surprised.
func TestVerdictOfRandomClusters(t *testing.T) {
	random := readData(t, "events.csv", eventsHeader).where(t, "setting", "random")
	usable := func(method, nodes string) float64 {
		return random.where(t, "method", method, "nodes", nodes, "event", initial).number(t, "usable_pct")
	}
	for _, name := range []string{"try 2", "rendezvous", "straw", "min-hash walk", "Maglev walk"} {
		if small, large := usable(name, "10"), usable(name, "200"); large > small-20 {
			t.Errorf("%s holds %v %% with 10 nodes, %v %% with 200: want a clear loss", name, small, large)
		}
	}
	if usable("try 2", "100") < usable("try 1", "100") || usable("try 2", "200") > usable("try 1", "200") {
		t.Error("try 1 does not overtake try 2 between 100 and 200 nodes")
	}
	ripple := 0.0
	for _, nodes := range random.texts("nodes") {
		line := random.where(t, "method", "try 2", "nodes", nodes, "event", "add")
		more := line.number(t, "moved_over_least")
		if more < ripple {
			t.Errorf("try 2 ripples %v-fold with %s nodes, %v-fold with fewer", more, nodes, ripple)
		}
		ripple = more
	}
	if ripple < 8 {
		t.Errorf("try 2 ripples %v-fold with 200 nodes, want 8 or more", ripple)
	}
	for _, nodes := range []string{"20", "50"} {
		excess := func(method string) float64 {
			return random.where(t, "method", method, "nodes", nodes, "event", initial).number(t, "excess")
		}
		for _, name := range zoned {
			if excess("optimum") >= excess(name) {
				t.Errorf("%s nodes: excess of the optimum %v, of %s %v", nodes, excess("optimum"), name,
					excess(name))
			}
		}
	}
}

// More tolerance never moves more, and never leaves less unused than it may.
func TestVerdictOfFrontier(t *testing.T) {
	frontier := readData(t, "frontier.csv", frontierHeader)
	for i := range frontier[1:] {
		before, after := frontier[i:i+1], frontier[i+1:i+2]
		if before[0]["event"] != after[0]["event"] || before[0]["nodes"] != after[0]["nodes"] {
			continue
		}
		if after.number(t, "moved_pct") > before.number(t, "moved_pct") ||
			after.number(t, "usable_pct") > before.number(t, "usable_pct") {
			t.Errorf("more tolerance, more moved or usable: %v, then %v", before[0], after[0])
		}
	}
	moved := func(event, tolerance string) float64 {
		line := frontier.where(t, "nodes", "20", "event", event, "tolerance_pct", tolerance)
		return line.number(t, "moved_pct")
	}
	for _, event := range []string{"add", "double"} {
		if share := moved(event, "2.00") / moved(event, "0.00"); share > 0.6 {
			t.Errorf("%s: two per cent of capacity leave %.2f of the moves, want about half", event, share)
		}
	}
	if share := moved("remove", "5.00") / moved("remove", "0.00"); share < 0.95 {
		t.Errorf("remove: tolerance leaves %.2f of the moves, want nearly all", share)
	}
}

// The loss by whole partitions is what the model says, from a fifth of a replica a node to thousands.
func TestVerdictOfPartitions(t *testing.T) {
	grain := readData(t, "partitions.csv", grainHeader)
	for i, line := range grain.where(t, "method", "optimum") {
		one := grain.where(t, "method", "optimum")[i : i+1]
		usable, model := one.number(t, "usable_pct"), one.number(t, "model_pct")
		if math.Abs(usable-model) > 2 {
			t.Errorf("%v %% usable, the model says %v: %v", usable, model, line)
		}
		nodes, _ := strconv.Atoi(line["nodes"])
		if partitions, _ := strconv.Atoi(line["partitions"]); partitions >= 12*nodes && usable < 98.5 {
			t.Errorf("twelve partitions a node, and %v %% usable: %v", usable, line)
		}
	}
	for _, name := range []string{"rendezvous", "straw"} {
		for _, nodes := range []string{"20", "50"} {
			line := grain.where(t, "nodes", nodes, "method", name, "partitions", "16384")
			if most := line.number(t, "usable_pct"); most > 95 {
				t.Errorf("%s, %s nodes: %v %% usable in 16384 partitions, want fewer", name, nodes, most)
			}
		}
	}
}

// Kept tables stay mixed, though not as well as fresh ones.
func TestVerdictOfDrift(t *testing.T) {
	drift := readData(t, "drift.csv", driftHeader)
	if want := 31 * len(driftMethods()); len(drift) != want {
		t.Fatalf("%d lines, want %d", len(drift), want)
	}
	worst := map[string]float64{}
	for event := range 31 {
		for _, m := range driftMethods() {
			line := drift.where(t, "event", strconv.Itoa(event), "tables", m.name)
			worst[m.name] = max(worst[m.name], line.number(t, "excess_high"))
		}
		excess := func(tables string) float64 {
			return drift.where(t, "event", strconv.Itoa(event), "tables", tables).number(t, "excess")
		}
		kept, fresh, hashed := excess("kept"), excess("fresh"), excess("rendezvous")
		if fresh > kept || kept > 2 || hashed < 2.5 {
			t.Errorf("after %d changes: excess %v fresh, %v kept, %v by rendezvous", event, fresh, kept,
				hashed)
		}
	}
	if worst["kept"] < 4 || worst["rebalanced"] > 2.5 {
		t.Errorf("the worst excess is %v of a kept table, %v of one rebalanced; want above 4, and about 2",
			worst["kept"], worst["rebalanced"])
	}
}
