package cli

import (
	"granary/prod/config"
	"granary/prod/daemon"
)

type restoreCmd struct {
	Snapshot string `arg:"" optional:"" help:"Name of a snapshot; without one, they are listed."`
}

// snapshotLine is a snapshot as JSON.
type snapshotLine struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// Run restores a snapshot, or lists them.
func (c restoreCmd) Run(a *app) error {
	loaded, err := a.load(settings{})
	if err != nil {
		return err
	}
	folder := loaded.Config.Data.Folder
	if c.Snapshot == "" {
		return a.snapshots(folder)
	}
	done, err := daemon.Restore(a.ctx, loaded.Config, c.Snapshot)
	if err != nil {
		return err
	}
	out := map[string]any{"snapshot": done.Snapshot.Name, "replaced": done.Replaced, "blocks_gone": done.Gone}
	return a.print(out, func() {
		a.printf("%s has the metadata of %s again.\n", folder,
			done.Snapshot.Time.Format("2006-01-02 15:04:05 MST"))
		if done.Replaced != "" {
			a.printf("The metadata from before is kept in %s; remove the file when you do not need it.\n",
				done.Replaced)
		}
		if done.Gone > 0 {
			a.printf("%s of that time lost since; other nodes have them.\n", plural(done.Gone, "block"))
		}
	})
}

// snapshots lists the snapshots in a data folder.
func (a *app) snapshots(folder string) error {
	list, err := daemon.Snapshots(folder)
	if err != nil {
		return err
	}
	lines := make([]snapshotLine, len(list))
	for i, s := range list {
		lines[i] = snapshotLine{s.Name, s.Bytes}
	}
	return a.print(lines, func() {
		t := a.table("SNAPSHOT", "SIZE")
		for _, s := range list {
			t.row(s.Name, config.Size(s.Bytes).Approx())
		}
		t.end("no snapshots in " + folder)
	})
}
