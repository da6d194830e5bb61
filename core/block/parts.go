package block

import "fmt"

// Part is one of the disks that a Disk is made of.
type Part struct {
	ID   string // names the disk for ever; empty only for a disk that is not known at all
	Name string // for people: where it is
	Disk Disk   // nil if it could not be opened
	// Failed says why nothing is read from it or written to it any more; nil for a disk in use.
	Failed error
	// Weight is its share of the blocks, in bytes; 0: its blocks shall move to the others.
	Weight int64
}

// Parted is a Disk made of several. A block of which a part in use has the file is read from there, wherever
// it should be; written, it goes to its home, and away from the others.
type Parted interface {
	Disk
	// Parts are the disks as they are now, in an order that does not change.
	Parts() []Part
	// Home is the part, by its place among Parts, that a block should be on; -1 if none is in use.
	Home(Hash) int
	// Watch calls f, which must not wait, whenever a part fails. There is one watcher.
	Watch(f func())
}

// soleDisk is the id of a disk that is alone.
const soleDisk = "the disk"

// Parts are the disks of this node.
func (s *Store) Parts() []Part {
	if p, ok := s.disk.(Parted); ok {
		return p.Parts()
	}
	return []Part{{ID: soleDisk, Name: soleDisk, Disk: s.disk, Weight: 1}}
}

// home is the place among Parts that a block should be on.
func (s *Store) home(h Hash) int {
	if p, ok := s.disk.(Parted); ok {
		return p.Home(h)
	}
	return 0
}

// Absent says of each part that is not in use where it is and why, in their order.
func Absent(parts []Part) (why []error) {
	for _, p := range parts {
		if p.Failed != nil {
			why = append(why, fmt.Errorf("the disk at %s is not in use: %w", p.Name, p.Failed))
		}
	}
	return why
}
