package report

import (
	"encoding/csv"
	"fmt"
	"os"
	"strings"
	"time"
)

// Millis returns a time in milliseconds.
func Millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Short returns a number with three digits, or all those before the point.
func Short(x float64) string {
	if x >= 100 {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.3g", x)
}

// WriteCSV writes lines under a head.
func WriteCSV(path string, head []string, lines [][]string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := csv.NewWriter(f)
	if err := w.Write(head); err != nil {
		return err
	}
	if err := w.WriteAll(lines); err != nil { // flushes
		return err
	}
	return f.Close()
}

// Table returns lines as a Markdown table.
func Table(head []string, lines [][]string) string {
	var b strings.Builder
	b.WriteString("| " + strings.Join(head, " | ") + " |\n|" + strings.Repeat(" --- |", len(head)) + "\n")
	for _, line := range lines {
		b.WriteString("| " + strings.Join(line, " | ") + " |\n")
	}
	return b.String()
}
