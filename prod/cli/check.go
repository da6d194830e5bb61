package cli

import (
	"fmt"

	"granary/prod/config"
	"granary/prod/daemon"
)

type checkCmd struct {
	Blocks bool `help:"Read every block too and compare it with its hash."`
}

// checkReport is what check prints as JSON.
type checkReport struct {
	MetadataBytes int64            `json:"metadata_bytes"`
	Records       int64            `json:"records"`
	Rows          map[string]int64 `json:"rows"`
	Blocks        int64            `json:"blocks"`
	BlockBytes    int64            `json:"block_bytes"`
	BlocksRead    bool             `json:"blocks_read"`
	Missing       int64            `json:"blocks_missing"`
	Unreferenced  int64            `json:"blocks_unreferenced"`
	Away          int64            `json:"blocks_away"`
	Leftover      int64            `json:"files_left_over"`
	Faulty        int64            `json:"faulty"`
	Faults        []string         `json:"faults"`
}

// Run looks for damage.
func (c checkCmd) Run(a *app) error {
	loaded, err := a.load(settings{})
	if err != nil {
		return err
	}
	found, err := daemon.Check(a.ctx, loaded.Config, c.Blocks)
	if err != nil {
		return err
	}
	r := checkReport{MetadataBytes: found.Metadata.FileBytes, Records: found.Records,
		Rows: map[string]int64{}, Blocks: found.Blocks.Blocks,
		BlockBytes: found.Blocks.Bytes, BlocksRead: c.Blocks,
		Missing: found.Blocks.Missing, Away: found.Blocks.Away, Unreferenced: found.Blocks.Unreferenced,
		Leftover: found.Blocks.Leftover, Faulty: found.Faulty, Faults: append([]string{}, found.Faults...)}
	for _, t := range found.Rows {
		r.Rows[t.Table] = t.Rows
	}
	err = a.print(r, func() { a.checked(found, c.Blocks) })
	if err == nil && r.Faulty > 0 {
		err = fmt.Errorf("%s in %s: see docs/operating.md, Check", plural(int(r.Faulty), "fault"),
			loaded.Config.Data.Folder)
	}
	return err
}

// checked prints a report for people.
func (a *app) checked(found *daemon.Checked, content bool) {
	a.printf("metadata  %s, %d records", config.Size(found.Metadata.FileBytes).Approx(), found.Records)
	for i, t := range found.Rows {
		sep := ", "
		if i == 0 {
			sep = ": "
		}
		a.printf("%s%d %s", sep, t.Rows, t.Table)
	}
	how := "files not read; --blocks reads them"
	if content {
		how = "every file read"
	}
	if found.NoDisk {
		how = "the disk could not be looked at"
	}
	b := found.Blocks
	a.printf("\nblocks    %d of %s, %s\n", b.Blocks, config.Size(b.Bytes).Approx(), how)
	for _, note := range []struct {
		n    int64
		text string
	}{
		{b.Missing, "%s that this node should have and others hold\n"},
		{b.Away, "%s that are on no disk in use, and may be on one that is not\n"},
		{b.Unreferenced, "%s that nothing refers to any more\n"},
		{b.Leftover, "%s in files that a cut-off write left behind\n"},
	} {
		if note.n > 0 {
			a.printf("          "+note.text, plural(int(note.n), "block"))
		}
	}
	for _, fault := range found.Faults {
		a.printf("fault     %s\n", fault)
	}
	switch {
	case found.Faulty > int64(len(found.Faults)):
		a.printf("          and %d more\n", found.Faulty-int64(len(found.Faults)))
	case found.Faulty == 0:
		a.printf("clean\n")
	}
}
