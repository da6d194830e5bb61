package campaign

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestEveryStoryIsTold: each test that the table of stories names exists, and each row names one.
func TestEveryStoryIsTold(t *testing.T) {
	text, err := os.ReadFile("../STORIES.md")
	if err != nil {
		t.Fatal(err)
	}
	told := regexp.MustCompile("`([a-z0-9/]+)` (Test[A-Za-z0-9]+)")
	rows := 0
	for _, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| story ") {
			continue
		}
		rows++
		tests := told.FindAllStringSubmatch(line, -1)
		if len(tests) == 0 {
			t.Errorf("no test tells %q", line)
		}
		for _, m := range tests {
			if !strings.Contains(sources(t, "../../"+m[1], "_test.go"), "func "+m[2]+"(t *testing.T)") {
				t.Errorf("%s has no %s", m[1], m[2])
			}
		}
	}
	if rows < 25 {
		t.Errorf("%d stories", rows)
	}
}
