package cli

import (
	"errors"
	"fmt"
	"net/url"

	"granary/core/api/admin"
)

type blockLostCmd struct{}

// Run lists the blocks that the node knows to be nowhere.
func (blockLostCmd) Run(a *app) error {
	list, err := a.lostBlocks()
	if err != nil {
		return err
	}
	return a.print(list, func() {
		t := a.table("BLOCK", "STATE", "BUCKET", "KEY")
		for _, b := range list {
			state := "waited for"
			if b.GivenUp {
				state = "given up"
			}
			for _, o := range b.Objects {
				key := fmt.Sprintf("%q", o.Key)
				if o.Part > 0 {
					key += fmt.Sprintf(" part %d", o.Part)
				}
				t.row(b.Block, state, o.Bucket, key)
			}
		}
		t.end("every block that this node should hold is on some node in reach")
	})
}

// lostBlocks asks for all pages.
func (a *app) lostBlocks() ([]admin.LostBlock, error) {
	list := []admin.LostBlock{}
	for path := "/v1/blocks/lost"; path != ""; {
		var page admin.LostBlocks
		if err := a.ask("GET", path, nil, &page); err != nil {
			return nil, err
		}
		list, path = append(list, page.Blocks...), ""
		if page.Next != "" {
			path = "/v1/blocks/lost?after=" + url.QueryEscape(page.Next)
		}
	}
	return list, nil
}

type blockGiveUpCmd struct {
	Blocks []string `arg:"" optional:"" help:"Hashes, as granary block lost shows them."`
	All    bool     `help:"All that granary block lost shows."`
	Yes    bool     `help:"Yes, the objects that need them cannot be read any more."`
}

// giveUpMax is how many blocks one request names.
const giveUpMax = 256

// Run gives blocks up.
func (c blockGiveUpCmd) Run(a *app) error {
	if c.All == (len(c.Blocks) > 0) {
		return usageError{errors.New("name blocks, or say --all")}
	}
	if c.All {
		list, err := a.lostBlocks()
		if err != nil {
			return err
		}
		for _, b := range list {
			if !b.GivenUp {
				c.Blocks = append(c.Blocks, b.Block)
			}
		}
	}
	all := admin.GivenUp{GivenUp: []string{}, Refused: []admin.RefusedBlock{}}
	for len(c.Blocks) > 0 {
		n := min(len(c.Blocks), giveUpMax)
		var done admin.GivenUp
		err := a.ask("POST", "/v1/blocks/give-up", admin.GiveUp{Blocks: c.Blocks[:n], Yes: c.Yes}, &done)
		if err != nil {
			return err
		}
		all.GivenUp = append(all.GivenUp, done.GivenUp...)
		all.Refused, c.Blocks = append(all.Refused, done.Refused...), c.Blocks[n:]
	}
	return a.print(all, func() {
		a.printf("gave up %d blocks: nobody waits for them any more, and the objects that need them "+
			"cannot be read\n", len(all.GivenUp))
		for _, r := range all.Refused {
			a.printf("not given up: %s: %s\n", r.Block, r.Cause)
		}
	})
}
