package config

import (
	"strings"
	"testing"
)

func TestBlockDisks(t *testing.T) {
	list, err := Data{Disks: []string{"/mnt/a", "/mnt/b=4T", "/mnt/c=0"}}.BlockDisks()
	if err != nil || len(list) != 3 || list[0] != (BlockDisk{"/mnt/a", -1}) ||
		list[1] != (BlockDisk{"/mnt/b", 4e12}) || list[2] != (BlockDisk{"/mnt/c", 0}) {
		t.Errorf("%v, %v", list, err)
	}
	for want, disks := range map[string][]string{
		"want a folder":       {"=4T", "/a"},
		"size \"much\"":       {"/a=much"},
		"is there twice":      {"/a", "/a/=4T"},
		"every disk is to be": {"/a=0", "/b=0"},
		"at most 64":          make([]string, 65),
	} {
		if _, err := (Data{Disks: disks}).BlockDisks(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", disks, err, want)
		}
	}
}
