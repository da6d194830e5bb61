package client_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"granary/core/api/k2v/client"
)

// A shopping list that several devices change, some of them offline: its values are merged by uniting the
// lines. Two devices that add at the same time leave two values; the next one that adds unites both.
// Nothing is lost.
func ExampleClient_Update() {
	c := &client.Client{HTTP: http.DefaultClient, Endpoint: "http://127.0.0.1:3904", Bucket: "demo",
		Region: "us-east-1", Key: "GK…", Secret: "…", Now: time.Now}
	add := func(line string) func([]client.Value) client.Value {
		return func(values []client.Value) client.Value {
			lines := []string{line}
			for _, v := range values { // nil, a deletion, has no lines
				lines = append(lines, strings.Fields(string(v))...)
			}
			slices.Sort(lines)
			return client.Value(strings.Join(slices.Compact(lines), "\n"))
		}
	}
	token, err := c.Update(context.Background(), "lists", "groceries", add("bread"))
	if err != nil {
		fmt.Println("it may or may not have been written; the same Update again is harmless:", err)
		return
	}
	if token == "" {
		fmt.Println("somebody else wrote meanwhile; the next Update merges")
	}
}
