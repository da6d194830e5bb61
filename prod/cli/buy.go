package cli

import (
	"errors"
	"fmt"
	"math"
	"os"

	"granary/core/api/admin"
	"granary/core/layout/plan"
	"granary/prod/config"
	"granary/prod/roles"
)

type layoutBuyCmd struct {
	To      string             `required:"" placeholder:"SIZE" help:"What shall be usable: 25T."`
	Price   map[string]float64 `required:"" mapsep:"," placeholder:"ZONE=PRICE" help:"Of a terabyte there."`
	NodeMax string             `placeholder:"SIZE" help:"Capacity up to which nodes can be enlarged."`
	NewNode map[string]int     `mapsep:"," placeholder:"ZONE=N" help:"So many nodes may be added there."`
	Unit    string             `placeholder:"SIZE" help:"What capacity is sold by (1G)."`
	Roles   string             `placeholder:"FILE" help:"Take the cluster from this file, without a server."`
	Staged  bool               `help:"Start from what is staged, instead of what is live."`
}

// Run shows what to buy.
func (c layoutBuyCmd) Run(a *app) error {
	in, err := c.purchase()
	if err != nil {
		return err
	}
	var order plan.Order
	switch {
	case c.Roles != "" && c.Staged:
		return usageError{errStagedFile}
	case c.Roles != "":
		order, err = buy(c.Roles, in)
	default:
		err = a.ask("POST", "/v1/layout/buy", in, &order)
	}
	if err != nil {
		return err
	}
	return a.print(order, func() { a.printf("%s", order.Text()) })
}

// errStagedFile refuses two flags that do not go together.
var errStagedFile = errors.New("--staged is for a running cluster, --roles for none: give one of them")

// purchase reads the flags.
func (c layoutBuyCmd) purchase() (admin.Buy, error) {
	in := admin.Buy{Prices: c.Price, NewNodes: c.NewNode, Staged: c.Staged}
	for _, f := range []struct {
		flag, text string
		to         *uint64
	}{{"--to", c.To, &in.Target}, {"--node-max", c.NodeMax, &in.NodeMax}, {"--unit", c.Unit, &in.Unit}} {
		if f.text == "" {
			continue
		}
		size, err := config.ParseSize(f.text)
		if err != nil {
			return in, usageError{fmt.Errorf("%s: %w", f.flag, err)}
		}
		*f.to = uint64(size)
	}
	for zone, price := range c.Price {
		if !(price > 0) || math.IsInf(price, 0) {
			return in, usageError{fmt.Errorf("--price %s=%g: want a number above 0", zone, price)}
		}
	}
	return in, nil
}

// buy says what to buy for the cluster of a file.
func buy(path string, in admin.Buy) (order plan.Order, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return order, usageError{err}
	}
	f, err := roles.Parse(path, raw)
	if err != nil {
		return order, usageError{err}
	}
	return in.Order(plan.Input{Roles: f.Roles(), Params: f.Params, Names: f.Names()})
}
