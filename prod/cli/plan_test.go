package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// simulated is what programs read of a simulation: a contract, which is not changed.
type simulated struct {
	Usable        uint64             `json:"usable"`
	Bound         uint64             `json:"bound"`
	PartitionSize uint64             `json:"partition_size"`
	Limiting      []string           `json:"limiting"`
	Prices        map[string]float64 `json:"prices"`
	Moves         int                `json:"moves"`
	Table         [][]string         `json:"table"`
}

// simulateJSON runs layout simulate with --json, without a server, and keeps what it prints in a file.
func simulateJSON(t *testing.T, args string) (simulated, string) {
	t.Helper()
	var out, errOut bytes.Buffer
	code := Main(context.Background(), World{Args: strings.Fields("layout simulate --json " + args),
		In: strings.NewReader(""), Out: &out, Err: &errOut,
		Env: []string{"GRANARY_DATA_FOLDER=no-such-folder"}})
	if code != 0 {
		t.Fatalf("%s: exit %d: %s", args, code, &errOut)
	}
	var s simulated
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "layout.json")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, path
}

// TestSimulateFiles: a layout is made from a file alone, and the next one follows what was printed.
func TestSimulateFiles(t *testing.T) {
	first, path := simulateJSON(t, "--roles "+talkFile)
	if first.Bound != 15e12 || first.PartitionSize != 58139534883 || first.Usable != 256*58139534883 ||
		!slices.Equal(first.Limiting, []string{"neptune"}) || first.Moves != 0 || len(first.Table) != 256 ||
		len(first.Prices) != 7 || first.Prices["celeri"] != 1 || first.Prices["io"] != 0 {
		t.Errorf("got %+v", first)
	}
	for p, row := range first.Table {
		if len(row) != 3 || !slices.Contains(row, "io") {
			t.Errorf("partition %d is on %q", p, row)
		}
	}
	again, _ := simulateJSON(t, "--roles "+talkFile)
	if !slices.EqualFunc(first.Table, again.Table, slices.Equal) {
		t.Error("the same file gives another table")
	}
	for change, want := range map[string]simulated{
		"":                                {Usable: first.Usable, Moves: 0},
		"--remove celeri":                 {Usable: 10e12, Moves: 86},
		"--add persil:neptune:10T":        {Usable: 20e12, Moves: 64},
		"--resize io:40T":                 {Usable: first.Usable, Moves: 0},
		"--add persil:pluto:10T":          {Usable: 256 * 87719298245, Moves: 113},
		"--partitions 512 --resize io:1T": {Usable: 1e12, Moves: 0},
	} {
		got, _ := simulateJSON(t, "--roles "+talkFile+" --previous "+path+" "+change)
		if got.Usable != want.Usable || got.Moves != want.Moves {
			t.Errorf("%s: usable %d, %d moves, want %d, %d", change, got.Usable, got.Moves, want.Usable,
				want.Moves)
		}
	}
}
