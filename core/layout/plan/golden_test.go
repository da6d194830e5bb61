package plan

import (
	"slices"
	"testing"

	"granary/core/goldentest"
	"granary/core/layout"
)

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
	goldentest.Check(t, "testdata/first.txt", r.Text())
	for _, e := range events() {
		in := Input{
			Previous: r.Next, Roles: e.roles, Params: layout.DefaultParams(), Names: names(),
			AnyBandwidth: 100_000_000,
		}
		goldentest.Check(t, "testdata/"+e.name+".txt", make1(t, in).Text())
	}
	order, err := Buy(Purchase{
		Roles: talk(), Params: layout.DefaultParams(), Names: names(), Target: 25 * terabyte,
		Prices: map[layout.ZoneName]float64{"atuin": 1, "jupiter": 1, "neptune": 1.5},
	})
	if err != nil {
		t.Fatal(err)
	}
	goldentest.Check(t, "testdata/order.txt", order.Text())
	refused := Input{Roles: talk()[:2], Params: layout.DefaultParams(), Names: names()}
	goldentest.Check(t, "testdata/refused.txt", make1(t, refused).Text())
}
