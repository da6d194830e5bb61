package plots

import (
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// ErrData is the kind of every fault in a data file, and of a description that does not fit it.
var ErrData = errors.New("bad data")

// Table is a data file: CSV whose first line names the columns.
type Table struct {
	Name    string
	Columns []string
	Rows    []Row
}

// Row is a line of a Table.
type Row struct {
	Line  int // in the file, from 1
	Texts []string
}

// ReadTable reads a data file. Errors: ErrData, those of the file.
func ReadTable(name string) (*Table, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	all, lines := [][]string(nil), []int(nil)
	for {
		record, err := r.Read()
		if record == nil && err != nil {
			if fault := (*csv.ParseError)(nil); errors.As(err, &fault) {
				return nil, fmt.Errorf("%s:%d: %w: %w", name, fault.Line, ErrData, fault.Err)
			}
			break
		}
		line, _ := r.FieldPos(0)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w: %d fields, the first line has %d", name, line, ErrData,
				len(record), len(all[0]))
		}
		all, lines = append(all, record), append(lines, line)
	}
	if len(all) < 2 {
		return nil, fmt.Errorf("%s: %w: want a line of column names and at least one more", name, ErrData)
	}
	t := &Table{Name: name, Columns: all[0]}
	for i, column := range t.Columns {
		if column == "" || slices.Contains(t.Columns[:i], column) {
			return nil, fmt.Errorf("%s:%d: %w: column %d is named %q, want a name of its own", name, lines[0],
				ErrData, i+1, column)
		}
	}
	for i, texts := range all[1:] {
		t.Rows = append(t.Rows, Row{Line: lines[i+1], Texts: texts})
	}
	return t, nil
}

// column returns the index of a column.
func (t *Table) column(name string) (int, error) {
	if i := slices.Index(t.Columns, name); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("%s: %w: no column %q; there are %s", t.Name, ErrData, name,
		strings.Join(t.Columns, ", "))
}

// number returns what row has in the column, which must be a finite number.
func (t *Table) number(row Row, name string) (float64, error) {
	i, err := t.column(name)
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseFloat(row.Texts[i], 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
		return 0, fmt.Errorf("%s:%d: %w: column %q is %q, want a finite number", t.Name, row.Line, ErrData,
			name, row.Texts[i])
	}
	return v, nil
}

// pick returns the rows whose columns have the texts of where.
func (t *Table) pick(where map[string]string) ([]Row, error) {
	rows, err := t.find(where)
	if err == nil && rows == nil {
		err = fmt.Errorf("%s: %w: no line with %v", t.Name, ErrData, where)
	}
	return rows, err
}

// find is pick that may come to nothing.
func (t *Table) find(where map[string]string) ([]Row, error) {
	columns, faults := map[int]string{}, []string(nil)
	for name, text := range where {
		i, err := t.column(name)
		if err != nil {
			faults = append(faults, err.Error())
		}
		columns[i] = text
	}
	if faults != nil {
		return nil, fmt.Errorf("%w: %s", ErrData, slices.Min(faults))
	}
	var rows []Row
	for _, row := range t.Rows {
		fits := true
		for i, text := range columns {
			fits = fits && row.Texts[i] == text
		}
		if fits {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// fill replaces each {column} in a template by the text of row.
func (t *Table) fill(template string, row Row) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(template, "{")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", fmt.Errorf("category %q: %w: a { without its }", template, ErrData)
		}
		i, err := t.column(name)
		if err != nil {
			return "", err
		}
		out.WriteString(row.Texts[i])
		template = after
	}
}
