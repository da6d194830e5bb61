package netsim

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// Each preset's paths, and what becomes of a few packets, are as they were when somebody last looked.
func TestPresetsAreGolden(t *testing.T) {
	for _, name := range Presets() {
		t.Run(name, func(t *testing.T) {
			topo, err := Preset(name)
			if err != nil {
				t.Fatal(err)
			}
			got := describe(t, topo)
			golden := "testdata/" + name + ".golden"
			if *rewrite {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := Preset("moon"); !errors.Is(err, ErrTopology) {
		t.Errorf("unknown preset: %v", err)
	}
}

func describe(t *testing.T, topo Topology) []byte {
	var b bytes.Buffer
	m, draw := mustModel(t, topo), seeded(1)
	fmt.Fprintf(&b, "%s\n", topo.Name)
	for _, from := range topo.Nodes {
		for _, to := range topo.Nodes {
			p, err := m.Path(from.Name, to.Name)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s > %s: %v ± %v, loss %v, %v\n",
				from.Name, to.Name, p.Delay, p.Jitter, p.Loss, p.Bandwidth)
		}
	}
	fmt.Fprintln(&b, "one packet of 1500 bytes each 5 ms:")
	for i := range 12 {
		from, to := topo.Nodes[0].Name, topo.Nodes[len(topo.Nodes)-1].Name
		now := time.Duration(i) * 5 * ms
		at, _, _ := m.Send(now, from, to, 1500, draw)
		fmt.Fprintf(&b, "%v > %v\n", now, at)
	}
	return b.Bytes()
}

func TestLoad(t *testing.T) {
	errAbsent := errors.New("absent")
	read := func(name string) ([]byte, error) {
		if name != "my.toml" {
			return nil, errAbsent
		}
		return []byte(`name = "mine"`), nil
	}
	for name, want := range map[string]string{"lan": "lan", "my.toml": "mine"} {
		if got, err := Load(name, read); err != nil || got.Name != want {
			t.Errorf("%s: topology %q, %v", name, got.Name, err)
		}
	}
	_, err := Load("lam", read)
	if !errors.Is(err, errAbsent) || !strings.Contains(err.Error(), "3dc-100ms") {
		t.Errorf("an unknown name: %v", err)
	}
}
