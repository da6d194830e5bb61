package plan

import (
	"flag"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"granary/core/layout"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-golden +got):\n%s", path, diff)
	}
}

// event is a change of the well-known cluster.
type event struct {
	name  string
	roles []layout.Role
}

func events() []event {
	doubled := talk()
	doubled[0].Capacity *= 2
	return []event{
		{"unchanged", talk()},
		{"celeri-leaves", slices.Delete(talk(), 4, 5)},
		{"neptune-grows", append(talk(), role(8, "neptune", 10*terabyte))},
		{"io-doubled", doubled},
		{"fourth-zone", append(talk(), role(8, "pluto", 10*terabyte))},
		{"io-leaves", talk()[1:]},
	}
}

// TestText compares the reports that people read with those of testdata.
func TestText(t *testing.T) {
	first := Input{Roles: talk(), Params: layout.DefaultParams(), Names: names()}
	r := make1(t, first)
	golden(t, "testdata/first.txt", r.Text())
	for _, e := range events() {
		in := Input{
			Previous: r.Next, Roles: e.roles, Params: layout.DefaultParams(), Names: names(),
			AnyBandwidth: 100_000_000,
		}
		golden(t, "testdata/"+e.name+".txt", make1(t, in).Text())
	}
	order, err := Buy(Purchase{
		Roles: talk(), Params: layout.DefaultParams(), Names: names(), Target: 25 * terabyte,
		Prices: map[layout.ZoneName]float64{"atuin": 1, "jupiter": 1, "neptune": 1.5},
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/order.txt", order.Text())
	refused := Input{Roles: talk()[:2], Params: layout.DefaultParams(), Names: names()}
	golden(t, "testdata/refused.txt", make1(t, refused).Text())
}
