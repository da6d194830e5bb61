package client

import (
	"context"
	"net/url"
	"strconv"
	"time"
)

// Insertion is one write of a batch; a nil Value deletes.
type Insertion struct {
	PK    string `json:"pk"`
	SK    string `json:"sk"`
	Token *Token `json:"ct"`
	Value Value  `json:"v"`
}

// InsertBatch writes values. It is not atomic: after an error some may have been written.
func (c *Client) InsertBatch(ctx context.Context, list []Insertion) error {
	return c.document(ctx, "POST", "", nil, list, nil)
}

// Search asks for items of a partition key, in order of their sort keys. Zero fields do not bound.
type Search struct {
	PK            string `json:"partitionKey"`
	Prefix        string `json:"prefix,omitempty"`
	Start         string `json:"start,omitempty"` // inclusive
	End           string `json:"end,omitempty"`   // exclusive
	Limit         int    `json:"limit,omitempty"`
	Reverse       bool   `json:"reverse,omitempty"` // downwards, from Start to End
	SingleItem    bool   `json:"singleItem,omitempty"`
	ConflictsOnly bool   `json:"conflictsOnly,omitempty"`
	Tombstones    bool   `json:"tombstones,omitempty"`
}

// Found is what a search found. If More, NextStart is the first that was left.
type Found struct {
	Items     []Item
	More      bool
	NextStart string
}

// foundItem is an item in a document.
type foundItem struct {
	SK string  `json:"sk"`
	CT Token   `json:"ct"`
	V  []Value `json:"v"`
}

func items(list []foundItem) []Item {
	out := make([]Item, len(list))
	for i, f := range list {
		out[i] = Item{f.SK, f.CT, f.V}
	}
	return out
}

// ReadBatch makes searches, answered in their order.
func (c *Client) ReadBatch(ctx context.Context, list []Search) ([]Found, error) {
	var answers []struct {
		Items     []foundItem `json:"items"`
		More      bool        `json:"more"`
		NextStart string      `json:"nextStart"`
	}
	if err := c.document(ctx, "POST", "", url.Values{"search": {""}}, list, &answers); err != nil {
		return nil, err
	}
	out := make([]Found, len(answers))
	for i, a := range answers {
		out[i] = Found{items(a.Items), a.More, a.NextStart}
	}
	return out, nil
}

// Deletion deletes the items of a partition key that lie in a range.
type Deletion struct {
	PK         string `json:"partitionKey"`
	Prefix     string `json:"prefix,omitempty"`
	Start      string `json:"start,omitempty"`
	End        string `json:"end,omitempty"`
	SingleItem bool   `json:"singleItem,omitempty"`
}

// DeleteBatch deletes what it finds, and returns how many items each deletion deleted. What is written
// meanwhile survives.
func (c *Client) DeleteBatch(ctx context.Context, list []Deletion) ([]int, error) {
	var answers []struct {
		DeletedItems int `json:"deletedItems"`
	}
	if err := c.document(ctx, "POST", "", url.Values{"delete": {""}}, list, &answers); err != nil {
		return nil, err
	}
	out := make([]int, len(answers))
	for i, a := range answers {
		out[i] = a.DeletedItems
	}
	return out, nil
}

// Partition is a line of the index.
type Partition struct {
	PK        string `json:"pk"`
	Entries   int64  `json:"entries"`   // live items
	Conflicts int64  `json:"conflicts"` // items with several values
	Values    int64  `json:"values"`    // live values
	Bytes     int64  `json:"bytes"`     // of them
}

// Index is a page of the index. If More, NextStart is the first that was left.
type Index struct {
	Partitions []Partition `json:"partitionKeys"`
	More       bool        `json:"more"`
	NextStart  string      `json:"nextStart"`
}

// ReadIndex lists partition keys; of a Search, Prefix, Start, End, Limit and Reverse count.
func (c *Client) ReadIndex(ctx context.Context, s Search) (page Index, err error) {
	q := url.Values{}
	for _, p := range []struct{ name, value string }{{"prefix", s.Prefix}, {"start", s.Start},
		{"end", s.End}} {
		if p.value != "" {
			q.Set(p.name, p.value)
		}
	}
	if s.Limit > 0 {
		q.Set("limit", strconv.Itoa(s.Limit))
	}
	if s.Reverse {
		q.Set("reverse", "true")
	}
	err = c.document(ctx, "GET", "", q, nil, &page)
	return page, err
}

// News is what PollRange returns: new items, and the marker that has seen them. If More, ask again at once.
type News struct {
	Items  []Item
	Marker string
	More   bool
}

// PollRange waits until items of a range of sort keys are new to a marker, for up to wait; of a Search, PK,
// Prefix, Start and End count. Without a marker it returns what is there at once.
//
// Errors: ErrNothingNew when the time is over; *Error.
func (c *Client) PollRange(ctx context.Context, s Search, marker string, wait time.Duration) (News, error) {
	body := struct {
		Prefix  string `json:"prefix,omitempty"`
		Start   string `json:"start,omitempty"`
		End     string `json:"end,omitempty"`
		Timeout int    `json:"timeout"`
		Marker  string `json:"seenMarker,omitempty"`
	}{s.Prefix, s.Start, s.End, int(wait / time.Second), marker}
	var a struct {
		SeenMarker string      `json:"seenMarker"`
		Items      []foundItem `json:"items"`
		More       bool        `json:"more"`
	}
	err := c.document(ctx, "POST", s.PK, url.Values{"poll_range": {""}}, body, &a)
	return News{items(a.Items), a.SeenMarker, a.More}, err
}
