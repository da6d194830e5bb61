package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"strconv"
	"testing"
)

// TestSteps: with all steps no read is stale and nothing is lost; when the new nodes answer at once, reads
// are.
func TestSteps(t *testing.T) {
	for _, v := range variants {
		r, err := rebalance(v, 1, 4)
		if err != nil {
			t.Fatal(err)
		}
		var sum second
		for _, s := range r.seconds {
			sum = sum.plus(*s)
		}
		switch {
		case sum.reads < 500 || sum.writes < 500:
			t.Errorf("%s: %d reads, %d writes: too few to say anything", v.name, sum.reads, sum.writes)
		case v.without == nil && (sum.stale > 0 || r.lost > 0):
			t.Errorf("%s: %d stale reads, %d keys lost", v.name, sum.stale, r.lost)
		case (v.name == "at once" || v.name == "no fences or lease") && sum.stale == 0:
			t.Errorf("%s: no stale read", v.name)
		}
	}
}

// variantNames are what the README calls the variants of totals.csv.
var variantNames = map[string]string{"all steps": "all", "no fences": "no fences",
	"no fences or lease": "no fences or lease", "at once": "at once"}

// TestReadmeTable: the table of README.md, and the numbers of its verdict, are what the committed data gives;
// data.csv adds up to totals.csv.
func TestReadmeTable(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	want := "| steps | reads | stale | not answered | settled after |\n|---|---|---|---|---|\n"
	sums := map[string]int{}
	for _, row := range read(t, "data.csv", 7) {
		sums[row[0]] += number(t, row[2])
		sums[row[0]+" stale"] += number(t, row[3])
	}
	for _, row := range read(t, "totals.csv", 9) {
		reads, stale, failed := number(t, row[2]), number(t, row[3]), number(t, row[4])
		want += fmt.Sprintf("| %s | %s | %s | %s | %s s |\n", variantNames[row[0]], grouped(reads),
			grouped(stale), grouped(failed), row[8])
		if sums[row[0]] != reads || sums[row[0]+" stale"] != stale {
			t.Errorf("%s: data.csv has %d reads, %d of them stale; totals.csv has %d and %d", row[0],
				sums[row[0]], sums[row[0]+" stale"], reads, stale)
		}
		verdict := fmt.Sprintf("*%s*: %s of %s reads are stale", variantNames[row[0]], grouped(stale),
			grouped(reads))
		if !bytes.Contains(readme, []byte(verdict)) {
			t.Errorf("the verdict does not say %q", verdict)
		}
	}
	if !bytes.Contains(readme, []byte(want)) {
		t.Errorf("README.md lacks the table of its data:\n%s", want)
	}
}

func read(t *testing.T, name string, columns int) [][]string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil || len(rows) < 2 || len(rows[0]) != columns {
		t.Fatalf("%s: %d rows, want %d columns: %v", name, len(rows), columns, err)
	}
	return rows[1:]
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// grouped writes n with commas between thousands; n is less than a million.
func grouped(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
