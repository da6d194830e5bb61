package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"granary/core/block"
	"granary/core/cluster"
	"granary/core/codec"
	"granary/core/k2v"
	"granary/core/kv"
	"granary/core/register"
	"granary/core/rt"
	"granary/core/table"
)

// Stopped is a node at rest, to be checked.
type Stopped struct {
	Env rt.Env
	KV  kv.Reader
	// Disk has the blocks; nil: they are not looked at.
	Disk block.Disk
	// Content reads every block and compares it with its hash.
	Content bool
}

// FaultsMax bounds the faults that a Report names; it counts all.
const FaultsMax = 1000

// Report is what Check found.
type Report struct {
	Records int64 // in the store, digests and a node's own included
	Rows    []TableRows
	Blocks  block.Inventory
	Faults  []string // the first FaultsMax
	Faulty  int64    // how many there are
}

// TableRows says how many rows a table has.
type TableRows struct {
	Table string
	Rows  int64
}

// Fault adds one.
func (r *Report) Fault(format string, args ...any) {
	if r.Faulty++; r.Faulty <= FaultsMax {
		r.Faults = append(r.Faults, fmt.Errorf(format, args...).Error())
	}
}

// Check reads all that a node keeps and names what is wrong: a record that nobody knows or that cannot be
// decoded; a row that contradicts itself, its place, or its parts; digests, and counts of items, that are not
// those of the rows; a block without its file, or with other bytes. What crashes leave behind by design is
// counted and no fault, see block.Inventory.
//
// The node must not run, or stand still meanwhile.
//
// Errors: of ctx, and of a disk that cannot be listed. The report then has what was found before.
// Cost: a read of the whole store, several times; and of all blocks, if Content is set.
func (s Stopped) Check(ctx context.Context) (*Report, error) {
	report := &Report{}
	rows := registerTables(s.Env)
	s.records(report)
	for id, n := range table.Check(s.KV, &rows.registry, report.Fault) {
		if n > 0 {
			report.Rows = append(report.Rows, TableRows{rows.registry.Name(table.ID(id)), n})
		}
	}
	rows.items.Check(s.KV, report.Fault)
	if s.Disk == nil {
		return report, ctx.Err()
	}
	checker := block.Checker{Env: s.Env, KV: s.KV, Rows: rows.blocks, Disk: s.Disk, Content: s.Content,
		Fault: report.Fault}
	var err error
	report.Blocks, err = checker.Run(ctx)
	return report, err
}

// records judges everything but the rows.
func (s Stopped) records(report *Report) {
	s.KV.Ascend(nil, nil, func(key, value []byte) bool {
		report.Records++
		if key[0] >= table.RowPrefix {
			return true
		}
		for _, judge := range []func(key, value []byte) (bool, error){checkRecord, cluster.CheckRecord,
			register.CheckRecord, k2v.CheckRecord, block.CheckRecord, table.CheckRecord} {
			known, err := judge(key, value)
			if err != nil {
				report.Fault("record %.160q: %w", key, err)
			}
			if known {
				return true
			}
		}
		report.Fault("record %.160q: no part of this program knows it", key)
		return true
	})
	if s.KV.Get(keyStore) == nil && report.Records > 0 {
		report.Fault("the store has no identity")
	}
}

// checkRecord judges a record of this package. known is false if it is not one.
func checkRecord(key, value []byte) (known bool, err error) {
	switch {
	case bytes.Equal(key, keyCeiling):
		if len(value) != 8 {
			err = fmt.Errorf("%d bytes, want 8", len(value))
		}
		return true, err
	case bytes.Equal(key, keyStore):
		id, err := codec.Load[storeIdentity](value, kindStore)
		if err == nil && (len(id.ID) != 16 || id.Boot == 0 && !id.Forget) {
			err = errors.New("it names no store, or one that was never started")
		}
		return true, err
	case bytes.Equal(key, keyCommits):
		if len(value) != 8 {
			err = fmt.Errorf("%d bytes, want 8", len(value))
		}
		return true, err
	}
	return false, nil
}
