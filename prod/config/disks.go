package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// BlockDisk is one of several disks of the blocks.
type BlockDisk struct {
	Path string
	// Capacity is its share in relation to the others, in bytes; 0: it is to be emptied; negative: what the
	// disk has.
	Capacity Size
}

// disksMax bounds the disks of a node.
const disksMax = 64

// ParseBlockDisk reads a disk of data.disks: PATH or PATH=SIZE.
func ParseBlockDisk(s string) (BlockDisk, error) {
	path, size, sized := strings.Cut(s, "=")
	d := BlockDisk{Path: path, Capacity: -1}
	if path == "" {
		return d, fmt.Errorf("%.60q: want a folder, or a folder and its share, such as /mnt/b=4T", s)
	}
	if sized {
		var err error
		if d.Capacity, err = ParseSize(size); err != nil {
			return d, fmt.Errorf("%.60q: %w", s, err)
		}
		if err := checkRange(d.Capacity, 0, 1<<60); err != nil {
			return d, fmt.Errorf("%.60q: %w", s, err)
		}
	}
	return d, nil
}

// BlockDisks are the disks of Disks; none if it is empty.
//
// Errors: every fault: what is no disk, a folder that is there twice, no disk that takes blocks.
func (d Data) BlockDisks() (list []BlockDisk, err error) {
	var errs []error
	if len(d.Disks) > disksMax {
		errs = append(errs, fmt.Errorf("%d disks, at most %d", len(d.Disks), disksMax))
	}
	full := len(d.Disks) > 0
	for _, text := range d.Disks {
		disk, err := ParseBlockDisk(text)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		same := func(o BlockDisk) bool { return filepath.Clean(o.Path) == filepath.Clean(disk.Path) }
		if slices.ContainsFunc(list, same) {
			errs = append(errs, fmt.Errorf("%.60q is there twice", disk.Path))
		}
		full = full && disk.Capacity == 0
		list = append(list, disk)
	}
	if full && len(errs) == 0 {
		errs = append(errs, errors.New("every disk is to be emptied: want one that takes blocks"))
	}
	return list, errors.Join(errs...)
}
