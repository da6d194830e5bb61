package main

import (
	"context"
	"encoding/csv"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"granary/core/api/k2v/client"
)

// TestStory is the example: two clients read x0; one writes x1, the other x1′, neither knowing of the other.
// Both values stay, with one token; who reads them writes x2 in place of both.
func TestStory(t *testing.T) {
	w, at, err := sites(7)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	err = w.Do(time.Hour, func(ctx context.Context) error {
		ctx = w.Env.Background()
		a, b := at(0), at(1)
		insert := func(c *client.Client, token client.Token, v string) client.Token {
			next, err := c.Insert(ctx, "pk", "x", token, client.Value(v))
			if err != nil {
				t.Errorf("write %s: %v", v, err)
			}
			return next
		}
		values := func(c *client.Client, want ...string) client.Token {
			item, err := c.Read(ctx, "pk", "x")
			var got []string
			for _, v := range item.Values {
				got = append(got, string(v))
			}
			slices.Sort(got)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("read %q, %v; want %q", got, err, want)
			}
			return item.Token
		}
		insert(a, "", "x0")
		ofA, ofB := values(a, "x0"), values(b, "x0")
		if insert(a, ofA, "x1") == "" {
			t.Error("x1 replaced all there was: it should have a token")
		}
		insert(b, ofB, "x1′")
		both := values(a, "x1", "x1′")
		if insert(b, both, "x2") == "" {
			t.Error("x2 replaced both: it should have a token")
		}
		values(a, "x2")
		insert(a, ofA, "x1″") // late, with the token of x0: it replaces nothing that it did not know
		values(b, "x1″", "x2")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSameBytesEveryTime(t *testing.T) {
	p := params{seed: 1, clients: []int{3}, writes: 4}
	one, err := measure(p)
	if err != nil {
		t.Fatal(err)
	}
	if two, err := measure(p); err != nil || one != two {
		t.Errorf("two runs differ: %v\n%s\n%s", err, one, two)
	}
}

// TestVerdict holds the sentences of the verdict against the data.
func TestVerdict(t *testing.T) {
	f, err := os.Open("data.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 1+2*len(whole().clients) {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	number := func(row []string, column int) float64 {
		n, err := strconv.ParseFloat(row[column], 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, row := range rows[1:] {
		clients := number(row, 0)
		switch {
		case row[1] == "true" && (number(row, 4) > clients || number(row, 6) != 1):
			t.Errorf("%v: with tokens no more values than clients, and one at rest", row)
		case row[1] == "false" && number(row, 6) != 25*clients+1:
			t.Errorf("%v: without tokens every write stays", row)
		}
	}
}
