package world

import (
	"testing"

	"granary/netsim"
)

// preset is a network that the tree knows by name.
func preset(t *testing.T, name string) netsim.Topology {
	t.Helper()
	topology, err := netsim.Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	return topology
}

// formed is a world in which all machines are one cluster; an error means that it could not be formed, as
// mutants may have it. The test closes it.
func formed(t *testing.T, o Options, mutants ...string) (*World, error) {
	t.Helper()
	o.Sched.Mutants = mutants
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w, w.Form()
}

// withBucket is a world that is formed and has a bucket, photos, with a client of it at the first machine.
func withBucket(t *testing.T, o Options, mutants ...string) (*World, *client) {
	t.Helper()
	w, err := formed(t, o, mutants...)
	if err != nil {
		t.Fatal(err)
	}
	key, err := w.MakeBucket("photos")
	if err != nil {
		t.Fatal(err)
	}
	return w, &client{t: t, w: w, key: key}
}
