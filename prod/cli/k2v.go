package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"

	"github.com/alecthomas/kong"

	"granary/core/api/admin"
	k2v "granary/core/api/k2v/client"
	"granary/core/auth"
	"granary/prod/daemon"
)

// k2vCmd are the commands about items.
type k2vCmd struct {
	Read   k2vReadCmd   `cmd:"" help:"Show the values of an item and its causality token."`
	Insert k2vInsertCmd `cmd:"" help:"Write a value; with --token in place of what was read with it."`
	Delete k2vDeleteCmd `cmd:"" help:"Delete an item; with --token only what was read with it."`
	List   k2vListCmd   `cmd:"" help:"List the items of a partition key."`
	Index  k2vIndexCmd  `cmd:"" help:"List the partition keys of a bucket, and count their items."`
	Poll   k2vPollCmd   `cmd:"" help:"Wait until an item changes, and show it."`
}

// k2vValueMax bounds a value from standard input, in bytes; the server's own bound is lower.
const k2vValueMax = 4 << 20

// k2vItem names an item on the command line.
type k2vItem struct {
	Bucket string `arg:"" help:"The bucket."`
	PK     string `arg:"" name:"partition-key" help:"The partition key."`
	SK     string `arg:"" name:"sort-key" help:"The sort key."`
}

// k2vRange names a range on the command line.
type k2vRange struct {
	Prefix  string `placeholder:"TEXT" help:"Only keys that begin so."`
	Start   string `placeholder:"KEY" help:"Begin here."`
	End     string `placeholder:"KEY" help:"End before this."`
	Limit   int    `placeholder:"N" help:"At most so many (1000)."`
	Reverse bool   `help:"From the greatest key down."`
}

// k2vClient returns a client for a bucket: of the endpoint and the key in the environment, as granary env
// prints them, or of the --dev store here.
func (a *app) k2vClient(bucket string, wait time.Duration) (*k2v.Client, error) {
	c := &k2v.Client{HTTP: &http.Client{Timeout: requestTimeout + wait}, Bucket: bucket, Now: time.Now,
		Endpoint: a.getenv("K2V_ENDPOINT"), Region: a.getenv("AWS_REGION"),
		Key:    auth.KeyID(a.getenv("AWS_ACCESS_KEY_ID")),
		Secret: auth.Secret(a.getenv("AWS_SECRET_ACCESS_KEY"))}
	if c.Endpoint != "" && c.Key != "" && c.Secret != "" {
		if c.Region == "" {
			c.Region = "us-east-1"
		}
		return c, nil
	}
	loaded, err := a.load(settings{})
	if err != nil {
		return nil, err
	}
	dev, err := daemon.LoadDev(loaded.Config.Data.Folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usageError{errors.New("no endpoint and key: set K2V_ENDPOINT, AWS_ACCESS_KEY_ID and " +
			"AWS_SECRET_ACCESS_KEY (granary env prints them for a --dev store), " +
			"or name a --dev store by --data")}
	}
	if err != nil {
		return nil, err
	}
	var s admin.Status
	if err := socketClient(loaded.Config.Data.Folder).call(a.ctx, "GET", "/v1/status", nil, &s); err != nil {
		return nil, err
	}
	if s.K2V == "" {
		return nil, fmt.Errorf("the server in %s serves no K2V: set k2v.listen", loaded.Config.Data.Folder)
	}
	c.Endpoint, c.Region = s.K2V, s.S3.Region
	c.Key, c.Secret = auth.KeyID(dev.KeyID), auth.Secret(dev.Secret)
	return c, nil
}

// shownItem is an item as JSON shows it.
type shownItem struct {
	SortKey string      `json:"sort_key"`
	Token   k2v.Token   `json:"token"`
	Values  []k2v.Value `json:"values"` // in base64; null for a deletion
}

func (a *app) item(i k2v.Item) error {
	return a.print(shownItem(i), func() {
		a.printf("token    %s\n", i.Token)
		for _, v := range i.Values {
			a.printf("%s\n", shownValue(v))
		}
	})
}

func shownValue(v k2v.Value) string {
	if v == nil {
		return "deleted"
	}
	return fmt.Sprintf("value    %q", v)
}

type k2vReadCmd struct{ k2vItem }

// Run reads an item.
func (c k2vReadCmd) Run(a *app) error {
	k, err := a.k2vClient(c.Bucket, 0)
	if err != nil {
		return err
	}
	item, err := k.Read(a.ctx, c.PK, c.SK)
	if err != nil {
		return err
	}
	return a.item(item)
}

// tokenFlag is a causality token on the command line. One in 64 begins with a hyphen, and is a value all the
// same.
type tokenFlag k2v.Token

// Decode implements kong.MapperValue.
func (t *tokenFlag) Decode(ctx *kong.DecodeContext) error {
	next := ctx.Scan.Pop()
	text, ok := next.Value.(string)
	if !ok || next.IsEOL() {
		return errors.New("missing value: a causality token, as a read or a write printed it")
	}
	*t = tokenFlag(text)
	return nil
}

type k2vInsertCmd struct {
	k2vItem
	Value string    `arg:"" optional:"" help:"The value. Without it, or -: standard input."`
	Token tokenFlag `placeholder:"TOKEN" help:"Of what the value replaces."`
}

// Run writes a value.
func (c k2vInsertCmd) Run(a *app) error {
	value := []byte(c.Value)
	if c.Value == "" || c.Value == "-" {
		var err error
		if value, err = io.ReadAll(io.LimitReader(a.In, k2vValueMax)); err != nil {
			return fmt.Errorf("read the value from standard input: %w", err)
		}
	}
	return a.insert(c.k2vItem, c.Token, value)
}

type k2vDeleteCmd struct {
	k2vItem
	Token tokenFlag `placeholder:"TOKEN" help:"Of what is deleted. By default what is there now."`
}

// Run deletes an item.
func (c k2vDeleteCmd) Run(a *app) error {
	if c.Token == "" {
		k, err := a.k2vClient(c.Bucket, 0)
		if err != nil {
			return err
		}
		item, err := k.Read(a.ctx, c.PK, c.SK)
		if err != nil {
			return err
		}
		c.Token = tokenFlag(item.Token)
	}
	return a.insert(c.k2vItem, c.Token, nil)
}

// insert writes a value, and says what else is in the item.
func (a *app) insert(i k2vItem, token tokenFlag, v k2v.Value) error {
	k, err := a.k2vClient(i.Bucket, 0)
	if err != nil {
		return err
	}
	next, err := k.Insert(a.ctx, i.PK, i.SK, k2v.Token(token), v)
	if err != nil {
		return err
	}
	return a.print(map[string]k2v.Token{"token": next}, func() {
		if next == "" {
			a.printf("Done. The item has other values too: granary k2v read shows them.\n")
		} else {
			a.printf("token    %s\n", next)
		}
	})
}

type k2vListCmd struct {
	Bucket string `arg:"" help:"The bucket."`
	PK     string `arg:"" name:"partition-key" help:"The partition key."`
	k2vRange
	Conflicts bool `help:"Only items with several values."`
	Deleted   bool `help:"Deleted items too."`
}

// Run lists items.
func (c k2vListCmd) Run(a *app) error {
	k, err := a.k2vClient(c.Bucket, 0)
	if err != nil {
		return err
	}
	found, err := k.ReadBatch(a.ctx, []k2v.Search{{PK: c.PK, Prefix: c.Prefix, Start: c.Start, End: c.End,
		Limit: c.Limit, Reverse: c.Reverse, ConflictsOnly: c.Conflicts, Tombstones: c.Deleted}})
	if err != nil {
		return err
	}
	page := found[0]
	items := make([]shownItem, len(page.Items))
	for i, item := range page.Items {
		items[i] = shownItem(item)
	}
	return a.print(map[string]any{"items": items, "more": page.More, "next_start": page.NextStart}, func() {
		for _, item := range items {
			a.printf("%q\n", item.SortKey)
			for _, v := range item.Values {
				a.printf("  %s\n", shownValue(v))
			}
		}
		a.more(page.More, page.NextStart)
	})
}

// more says that a listing goes on.
func (a *app) more(more bool, next string) {
	if more {
		a.printf("There are more: --start %s\n", shellWord(next))
	}
}

type k2vIndexCmd struct {
	Bucket string `arg:"" help:"The bucket."`
	k2vRange
}

// Run lists partition keys.
func (c k2vIndexCmd) Run(a *app) error {
	k, err := a.k2vClient(c.Bucket, 0)
	if err != nil {
		return err
	}
	page, err := k.ReadIndex(a.ctx, k2v.Search{Prefix: c.Prefix, Start: c.Start, End: c.End,
		Limit:   c.Limit,
		Reverse: c.Reverse})
	if err != nil {
		return err
	}
	return a.print(page, func() {
		t := a.table("PARTITION KEY", "ITEMS", "CONFLICTS", "VALUES", "BYTES")
		for _, p := range page.Partitions {
			t.row(fmt.Sprintf("%q", p.PK), p.Entries, p.Conflicts, p.Values, p.Bytes)
		}
		t.end("no partition keys")
		a.more(page.More, page.NextStart)
	})
}

type k2vPollCmd struct {
	k2vItem
	Token   tokenFlag     `placeholder:"TOKEN" help:"Of what is known. By default what is there now."`
	Timeout time.Duration `default:"300s" help:"How long to wait, 1s to 600s (${default})."`
}

// Run waits for a change.
func (c k2vPollCmd) Run(a *app) error {
	k, err := a.k2vClient(c.Bucket, c.Timeout)
	if err != nil {
		return err
	}
	if c.Token == "" {
		item, err := k.Read(a.ctx, c.PK, c.SK)
		if err != nil && !errors.Is(err, k2v.ErrNoSuchItem) {
			return err
		}
		c.Token = tokenFlag(item.Token)
	}
	item, err := k.Poll(a.ctx, c.PK, c.SK, k2v.Token(c.Token), c.Timeout)
	if errors.Is(err, k2v.ErrNothingNew) {
		return fmt.Errorf("nothing changed within %v", c.Timeout)
	}
	if err != nil {
		return err
	}
	return a.item(item)
}
