package k2v

import (
	"encoding/json"
	"net/http"

	"granary/core/k2v"
)

// orNull is a text that JSON shows as null when it is empty.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// index is the answer of a ReadIndex. The parameters are echoed.
type index struct {
	Prefix        *string     `json:"prefix"`
	Start         *string     `json:"start"`
	End           *string     `json:"end"`
	Limit         *int        `json:"limit"`
	Reverse       bool        `json:"reverse"`
	PartitionKeys []partition `json:"partitionKeys"`
	More          bool        `json:"more"`
	NextStart     *string     `json:"nextStart"`
}

type partition struct {
	PK        string `json:"pk"`
	Entries   int64  `json:"entries"`
	Conflicts int64  `json:"conflicts"`
	Values    int64  `json:"values"`
	Bytes     int64  `json:"bytes"`
}

func (c *call) readIndex() error {
	p := c.params
	limit, err := c.number("limit")
	if err != nil {
		return err
	}
	reverse, err := c.flag("reverse")
	if err != nil {
		return err
	}
	r := k2v.Range{Prefix: p.Get("prefix"), Start: p.Get("start"), End: p.Get("end"), Limit: limit,
		Reverse: reverse}
	page, err := c.Items.ReadIndex(c.ctx, c.bucket.ID, r)
	if err != nil {
		return err
	}
	out := index{Prefix: orNull(r.Prefix), Start: orNull(r.Start), End: orNull(r.End), Reverse: reverse,
		PartitionKeys: make([]partition, len(page.Partitions)), More: page.More, NextStart: orNull(page.Next)}
	if limit > 0 {
		out.Limit = &limit
	}
	for i, line := range page.Partitions {
		n := line.Counts
		out.PartitionKeys[i] = partition{line.PK, n.Entries, n.Conflicts, n.Values, n.Bytes}
	}
	return c.answer(http.StatusOK, out)
}

// insertion is an element of an InsertBatch.
type insertion struct {
	PK string  `json:"pk"`
	SK string  `json:"sk"`
	CT *string `json:"ct"`
	V  *string `json:"v"`
}

func (c *call) insertBatch() error {
	var list []insertion
	if err := c.document(&list); err != nil {
		return err
	}
	writes := make([]k2v.Write, len(list))
	for i, in := range list {
		w := &writes[i]
		w.Key = k2v.Key{Bucket: c.bucket.ID, PK: in.PK, SK: in.SK}
		var err error
		if w.Value.Bytes, err = value("v", in.V); err != nil {
			return at(i, err)
		}
		w.Value.Deleted = in.V == nil
		if in.CT != nil {
			if w.Seen, err = k2v.ParseToken(*in.CT); err != nil {
				return at(i, badRequest("ct: %v", err))
			}
		}
		if err = k2v.CheckKey("pk", in.PK); err == nil {
			err = k2v.CheckKey("sk", in.SK)
		}
		if err != nil {
			return at(i, badRequest("%v", err))
		}
	}
	if err := c.Items.InsertBatch(c.ctx, writes); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}

// search is an element of a ReadBatch or DeleteBatch, and is echoed in its answer.
type search struct {
	PartitionKey  string  `json:"partitionKey"`
	Prefix        *string `json:"prefix"`
	Start         *string `json:"start"`
	End           *string `json:"end"`
	Limit         *int    `json:"limit"`
	Reverse       bool    `json:"reverse"`
	SingleItem    bool    `json:"singleItem"`
	ConflictsOnly bool    `json:"conflictsOnly"`
	Tombstones    bool    `json:"tombstones"`
}

// deletion is an element of a DeleteBatch.
type deletion struct {
	PartitionKey string  `json:"partitionKey"`
	Prefix       *string `json:"prefix"`
	Start        *string `json:"start"`
	End          *string `json:"end"`
	SingleItem   bool    `json:"singleItem"`
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// check turns a search into what the store takes.
func (s search) check() (k2v.Search, error) {
	q := k2v.Search{PK: s.PartitionKey, Single: s.SingleItem, ConflictsOnly: s.ConflictsOnly,
		Tombstones: s.Tombstones,
		Range: k2v.Range{Prefix: text(s.Prefix), Start: text(s.Start), End: text(s.End),
			Reverse: s.Reverse}}
	if err := k2v.CheckKey("partitionKey", q.PK); err != nil {
		return q, badRequest("%v", err)
	}
	if s.Limit != nil {
		if q.Limit = *s.Limit; q.Limit < 1 {
			return q, badRequest("limit: %d; want a whole number from 1", q.Limit)
		}
	}
	if q.Single && (s.Prefix != nil || s.End != nil || s.Limit != nil || s.Reverse || s.Start == nil) {
		return q, badRequest("singleItem: start must be the sort key; " +
			"prefix, end, limit and reverse must be absent")
	}
	return q, q.Check()
}

// found is the answer to a search.
type found struct {
	search
	Items     []foundItem `json:"items"`
	More      bool        `json:"more"`
	NextStart *string     `json:"nextStart"`
}

type foundItem struct {
	SK string    `json:"sk"`
	CT string    `json:"ct"`
	V  []*string `json:"v"`
}

func foundItems(items []k2v.Item) []foundItem {
	list := make([]foundItem, len(items))
	for i, item := range items {
		list[i] = foundItem{item.SortKey, k2v.Token(item.Context), encoded(item.Values)}
	}
	return list
}

func (c *call) readBatch() error {
	var list []search
	if err := c.document(&list); err != nil {
		return err
	}
	searches := make([]k2v.Search, len(list))
	for i, s := range list {
		var err error
		if searches[i], err = s.check(); err != nil {
			return at(i, err)
		}
	}
	results, err := c.Items.ReadBatch(c.ctx, c.bucket.ID, searches)
	if err != nil {
		return err
	}
	out := make([]found, len(list))
	for i, r := range results {
		out[i] = found{list[i], foundItems(r.Items), r.More, orNull(r.Next)}
	}
	return c.answer(http.StatusOK, out)
}

// deleted is the answer to an element of a DeleteBatch.
type deleted struct {
	deletion
	DeletedItems int `json:"deletedItems"`
}

func (c *call) deleteBatch() error {
	var list []deletion
	if err := c.document(&list); err != nil {
		return err
	}
	searches := make([]k2v.Search, len(list))
	for i, d := range list {
		var err error
		s := search{PartitionKey: d.PartitionKey, Prefix: d.Prefix, Start: d.Start, End: d.End,
			SingleItem: d.SingleItem}
		if searches[i], err = s.check(); err != nil {
			return at(i, err)
		}
	}
	counts, err := c.Items.DeleteBatch(c.ctx, c.bucket.ID, searches)
	if err != nil {
		return err
	}
	out := make([]deleted, len(list))
	for i, n := range counts {
		out[i] = deleted{list[i], n}
	}
	return c.answer(http.StatusOK, out)
}

// rangePoll is the body of a PollRange.
type rangePoll struct {
	Prefix     *string      `json:"prefix"`
	Start      *string      `json:"start"`
	End        *string      `json:"end"`
	Timeout    *json.Number `json:"timeout"`
	SeenMarker *string      `json:"seenMarker"`
}

// rangeNews is the answer.
type rangeNews struct {
	SeenMarker string      `json:"seenMarker"`
	Items      []foundItem `json:"items"`
	More       bool        `json:"more,omitempty"`
}

func (c *call) pollRange() error {
	var q rangePoll
	if err := c.document(&q); err != nil {
		return err
	}
	seconds := ""
	if q.Timeout != nil {
		seconds = q.Timeout.String()
	}
	limit, err := timeout(seconds)
	if err != nil {
		return err
	}
	news, err := c.Items.PollRange(c.ctx, c.bucket.ID, c.pk,
		k2v.Range{Prefix: text(q.Prefix), Start: text(q.Start), End: text(q.End)}, text(q.SeenMarker), limit)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, rangeNews{news.Marker, foundItems(news.Items), news.More})
}
