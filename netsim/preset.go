package netsim

import (
	"embed"
	"fmt"
	"slices"
)

//go:embed presets/*.toml
var presetFiles embed.FS

// Presets returns the names of the built-in topologies.
func Presets() []string { return []string{"lan", "3dc-100ms", "3dc-100ms-flat"} }

// Preset returns a built-in topology.
//
//   - lan: 3 nodes in 3 racks of one machine room, 0.1 ms each way between any two, 10 Gbit/s per pair;
//   - 3dc-100ms: 6 nodes in 3 sites, 2 each; 50 ms ± 10 ms each way between sites, 0.25 ms inside;
//   - 3dc-100ms-flat: the same without jitter and with nothing inside a site, so that elapsed virtual time
//     divided by 100 ms counts the round trips.
//
// Errors: ErrTopology for an unknown name.
func Preset(name string) (Topology, error) {
	data, err := presetFiles.ReadFile("presets/" + name + ".toml")
	if err != nil {
		return Topology{}, fmt.Errorf("preset %q: %w: the presets are %v", name, ErrTopology, Presets())
	}
	return Parse(data)
}

// Load returns the built-in topology of that name, or what read (os.ReadFile, say) finds under it.
// Errors: ErrTopology; those of read.
func Load(name string, read func(name string) ([]byte, error)) (Topology, error) {
	if slices.Contains(Presets(), name) {
		return Preset(name)
	}
	data, err := read(name)
	if err != nil {
		return Topology{}, fmt.Errorf("topology %q is none of the presets %v: %w", name, Presets(), err)
	}
	return Parse(data)
}
