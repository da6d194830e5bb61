package k2vtest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"granary/core/api/k2v/client"
)

// refused checks that a request was refused with a status, code and text.
func (s *teller) refused(what string, status int, code, text string, err error) {
	s.t.Helper()
	var e *client.Error
	if !errors.As(err, &e) || e.Status != status || e.Code != code || !strings.Contains(e.Message, text) {
		s.t.Errorf("%s: %v; want %d %s with %q", what, err, status, code, text)
	}
}

// good checks that a request succeeded.
func (s *teller) good(what string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Errorf("%s: %v", what, err)
	}
}

func one(pk, sk string, v client.Value) []client.Insertion {
	return []client.Insertion{{PK: pk, SK: sk, Value: v}}
}

// keyLimits: the longest keys work, and every operation refuses longer ones.
func keyLimits(s *teller) {
	ctx, c := s.w.Ctx, s.w.Client
	most, over, x := strings.Repeat("k", 1024), strings.Repeat("k", 1025), client.Value("x")
	_, err := c.Insert(ctx, most, most, "", x)
	s.good("the longest keys", err)
	item, err := c.Read(ctx, most, most)
	if err != nil || string(item.Values[0]) != "x" {
		s.t.Errorf("under the longest keys: %q, %v", item.Values, err)
	}
	search := func(q client.Search) error { _, err := c.ReadBatch(ctx, []client.Search{q}); return err }
	remove := func(q client.Deletion) error { _, err := c.DeleteBatch(ctx, []client.Deletion{q}); return err }
	list := func(q client.Search) error { _, err := c.ReadIndex(ctx, q); return err }
	follow := func(q client.Search) error { _, err := c.PollRange(ctx, q, "", time.Second); return err }
	insert := func(pk, sk string, v client.Value) error { _, err := c.Insert(ctx, pk, sk, "", v); return err }
	read := func(pk, sk string) error { _, err := c.Read(ctx, pk, sk); return err }
	poll := func(pk, sk string) error { _, err := c.Poll(ctx, pk, sk, "", time.Second); return err }
	for _, tt := range []struct {
		what, field string
		err         error
	}{
		{"ReadItem", "partition key", read(over, "a")}, {"ReadItem", "sort key", read("a", over)},
		{"PollItem", "partition key", poll(over, "a")}, {"PollItem", "sort key", poll("a", over)},
		{"InsertItem", "partition key", insert(over, "a", x)},
		{"InsertItem", "sort key", insert("a", over, x)},
		{"DeleteItem", "partition key", insert(over, "a", nil)},
		{"DeleteItem", "sort key", insert("a", over, nil)},
		{"InsertBatch", "[0].pk", c.InsertBatch(ctx, one(over, "a", x))},
		{"InsertBatch", "[0].sk", c.InsertBatch(ctx, one("a", over, x))},
		{"ReadIndex", "prefix", list(client.Search{Prefix: over})},
		{"ReadIndex", "start", list(client.Search{Start: over})},
		{"ReadIndex", "end", list(client.Search{End: over})},
		{"ReadBatch", "[0].partitionKey", search(client.Search{PK: over})},
		{"ReadBatch", "[0].prefix", search(client.Search{PK: "a", Prefix: over})},
		{"ReadBatch", "[0].start", search(client.Search{PK: "a", Start: over, SingleItem: true})},
		{"ReadBatch", "[0].end", search(client.Search{PK: "a", End: over})},
		{"DeleteBatch", "[0].partitionKey", remove(client.Deletion{PK: over})},
		{"DeleteBatch", "[0].prefix", remove(client.Deletion{PK: "a", Prefix: over})},
		{"DeleteBatch", "[0].start", remove(client.Deletion{PK: "a", Start: over, SingleItem: true})},
		{"PollRange", "partition key", follow(client.Search{PK: over})},
		{"PollRange", "prefix", follow(client.Search{PK: "a", Prefix: over})},
	} {
		s.refused(tt.what+" with a long "+tt.field, 400, "InvalidRequest", tt.field+": 1025 bytes", tt.err)
	}
	s.rows.show("limit/pk", "limit/sk")
}

// valueLimits: the longest value works, a longer one is refused, and so is what fills an item.
func valueLimits(s *teller) {
	ctx, c := s.w.Ctx, s.w.Client
	over := make(client.Value, 1<<20+1)
	most := over[1:]
	insert := func(token client.Token, v client.Value) error {
		_, err := c.Insert(ctx, "limits", "big", token, v)
		return err
	}
	s.refused("a value of 1 MiB and a byte", 400, "InvalidRequest", "value: more than 1048576 bytes",
		insert("", over))
	s.refused("such a value in a batch", 400, "InvalidRequest", "1048577 bytes; at most 1048576",
		c.InsertBatch(ctx, one("limits", "big", over)))
	s.good("a value of 1 MiB", insert("", most))
	s.rows.show("limit/value")
	s.refused("another beside it", 409, "ItemFull", "causality token", insert("", most))
	item, err := c.Read(ctx, "limits", "big")
	if err != nil || len(item.Values) != 1 || len(item.Values[0]) != 1<<20 {
		s.t.Errorf("the full item has %d values, %v", len(item.Values), err)
	}
	s.good("another in its place", insert(item.Token, most))
	s.rows.show("limit/full-bytes")
	again := make([]client.Search, 65)
	for i := range again {
		again[i] = client.Search{PK: "limits", Start: "big", SingleItem: true}
	}
	_, err = c.ReadBatch(ctx, again)
	s.refused("searches that find 65 MiB", 400, "InvalidRequest", "more than 67108864 bytes", err)
	s.rows.show("limit/answer")
	var many []client.Insertion
	for i := range 1001 {
		many = append(many, one("limits", "many", client.Value(fmt.Sprint(i)))...)
	}
	s.refused("1,001 values of one item", 409, "ItemFull", "at most 1000", c.InsertBatch(ctx, many))
	s.good("1,000 values of one item", c.InsertBatch(ctx, many[:1000]))
	s.rows.show("limit/full-values")
}

// batchLimits: of each kind of batch, and of its body; and a marker that is too long.
func batchLimits(s *teller) {
	ctx, c := s.w.Ctx, s.w.Client
	const over = 10_001
	insertions, searches, deletions := make([]client.Insertion, over), make([]client.Search, over),
		make([]client.Deletion, over)
	for i := range over {
		insertions[i] = client.Insertion{PK: "nothing", SK: fmt.Sprint(i), Value: client.Value("x")}
		searches[i].PK, deletions[i].PK = "nothing", "nothing"
	}
	s.refused("an InsertBatch of 10,001", 400, "InvalidRequest", "10001 writes; at most 10000",
		c.InsertBatch(ctx, insertions))
	_, err := c.ReadBatch(ctx, searches)
	s.refused("a ReadBatch of 10,001", 400, "InvalidRequest", "10001 searches; at most 10000", err)
	_, err = c.DeleteBatch(ctx, deletions)
	s.refused("a DeleteBatch of 10,001", 400, "InvalidRequest", "10001 searches; at most 10000", err)
	found, err := c.ReadBatch(ctx, searches[:1])
	if err != nil || len(found[0].Items) > 0 {
		s.t.Errorf("after a batch that was refused: %+v, %v", found, err)
	}
	// The answer comes before the body is sent.
	header := http.Header{"Expect": {"100-continue"}}
	a, err := c.Raw(ctx, "POST", "/bucket", header, make([]byte, 32<<20+1))
	if err != nil || a.Status != 400 || !strings.Contains(string(a.Body), "body: more than 33554432 bytes") {
		s.t.Errorf("a body of 32 MiB and a byte: %d %s, %v", a.Status, a.Body, err)
	}
	s.rows.show("limit/body")
	_, err = c.PollRange(ctx, client.Search{PK: "nothing"}, strings.Repeat("A", 3<<20), time.Second)
	s.refused("a marker of more than 2 MiB", 400, "InvalidRequest", "seenMarker: 3145728 bytes", err)
	s.rows.show("limit/marker")
}

// pages: the greatest batch works, and what it wrote is found page by page; so is the index. Who followed the
// partition from before is told all of it, however much that is.
func pages(s *teller) {
	ctx, c := s.w.Ctx, s.w.Client
	const most, page = 10_000, 1000
	before, err := c.PollRange(ctx, client.Search{PK: "pages"}, "", time.Second)
	s.good("a marker of nothing", err)
	items, keys := make([]client.Insertion, most), make([]client.Insertion, page+1)
	for i := range items {
		items[i] = client.Insertion{PK: "pages", SK: fmt.Sprintf("%05d", i), Value: client.Value("x")}
	}
	for i := range keys {
		keys[i] = client.Insertion{PK: fmt.Sprintf("pages/%05d", i), SK: "x", Value: client.Value("x")}
	}
	s.good("a batch of 10,000", c.InsertBatch(ctx, items))
	s.rows.show("limit/batch")
	s.good("a batch of 1,001 partition keys", c.InsertBatch(ctx, keys))
	s.w.Settle()
	found, err := c.ReadBatch(ctx, []client.Search{{PK: "pages"}})
	if err != nil || len(found[0].Items) != page || found[0].NextStart != "01000" || !found[0].More {
		s.t.Errorf("the first page: %+v, %v", found, err)
	}
	index, err := c.ReadIndex(ctx, client.Search{Prefix: "pages/"})
	if err != nil || len(index.Partitions) != page || index.NextStart != "pages/01000" || !index.More {
		s.t.Errorf("the first page of the index: %d, %q, %v", len(index.Partitions), index.NextStart, err)
	}
	s.rows.show("limit/page")
	told := map[string]bool{}
	for news := before; ; {
		news, err = c.PollRange(ctx, client.Search{PK: "pages"}, news.Marker, time.Minute)
		if err != nil {
			s.t.Errorf("a client that was away: %v", err)
			break
		}
		for _, item := range news.Items {
			told[item.SortKey] = true
		}
		if !news.More {
			break
		}
	}
	if len(told) != most {
		s.t.Errorf("a client that was away was told of %d items of %d", len(told), most)
	}
	s.rows.show("range/lagging")
}

// withoutQuorum: when the other replicas are away every request ends, with an error that says what it was.
func withoutQuorum(s *teller) {
	ctx, c := s.w.Ctx, s.w.Client
	token, err := c.Insert(ctx, "alone", "a", "", client.Value("x"))
	s.good("an item", err)
	news, err := c.PollRange(ctx, client.Search{PK: "alone"}, "", time.Second)
	s.good("a marker", err)
	s.w.CutOff()
	asks := []struct {
		what, row string
		ask       func() error
		err       error
	}{
		{"ReadItem", "read", func() error { _, err := c.Read(ctx, "alone", "a"); return err }, nil},
		{"ReadIndex", "read", func() error { _, err := c.ReadIndex(ctx, client.Search{}); return err }, nil},
		{"ReadBatch", "read", func() error {
			_, err := c.ReadBatch(ctx, []client.Search{{PK: "alone"}})
			return err
		}, nil},
		{"InsertItem", "write", func() error {
			_, err := c.Insert(ctx, "alone", "b", "", client.Value("x"))
			return err
		}, nil},
		{"DeleteItem", "write", func() error {
			_, err := c.Insert(ctx, "alone", "c", "", nil)
			return err
		}, nil},
		{"InsertBatch", "write", func() error {
			return c.InsertBatch(ctx, append(one("alone", "d", client.Value("x")), one("else", "d", nil)...))
		}, nil},
		{"DeleteBatch", "write", func() error {
			_, err := c.DeleteBatch(ctx, []client.Deletion{{PK: "alone"}})
			return err
		}, nil},
		{"PollItem", "poll", func() error {
			_, err := c.Poll(ctx, "alone", "a", token, time.Second)
			return err
		}, nil},
		{"PollRange", "poll", func() error {
			_, err := c.PollRange(ctx, client.Search{PK: "alone"}, news.Marker, time.Second)
			return err
		}, nil},
	}
	var waits []func()
	for i := range asks {
		waits = append(waits, s.w.Go(func() { asks[i].err = asks[i].ask() }))
	}
	for i, wait := range waits {
		wait()
		a := &asks[i]
		code, text := "ServiceUnavailable", ""
		var e *client.Error
		if errors.As(a.err, &e) && e.Code == "OutcomeUnknown" && a.row == "write" {
			code, text = "OutcomeUnknown", "the write may have happened"
		}
		s.refused(a.what+" without a quorum", 503, code, text, a.err)
		if a.what == "InsertItem" && code != "OutcomeUnknown" {
			s.t.Errorf("an InsertItem that one replica has: %v", a.err)
		}
		s.rows.show("error/quorum-" + a.row)
	}
}
