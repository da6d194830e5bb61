package replica

import (
	"cmp"

	"granary/experiments/baseline/site"
)

// Version orders the rows of a key.
type Version struct {
	Counter uint64 `cbor:"1,keyasint,omitempty"`
	Writer  uint64 `cbor:"2,keyasint,omitempty"`
}

// Compare orders versions.
func (v Version) Compare(o Version) int {
	return cmp.Or(cmp.Compare(v.Counter, o.Counter), cmp.Compare(v.Writer, o.Writer))
}

// Row is what a replica knows of a key. The zero row is that of a key which was never written.
type Row struct {
	Key     string  `cbor:"1,keyasint,omitempty"`
	Version Version `cbor:"2,keyasint"`
	Live    bool    `cbor:"3,keyasint,omitempty"` // false: removed
	Bytes   int     `cbor:"4,keyasint,omitempty"`
}

// inlineMax is the largest value, in bytes, that an answer about its row carries along.
const inlineMax = 32 << 10

// Store is a request of a replica to store something.
type Store struct {
	Row Row `cbor:"1,keyasint"`
	// Announce notes that the row will come. Commit makes the row the key's, if it is newer than that.
	Announce bool `cbor:"2,keyasint,omitempty"`
	Commit   bool `cbor:"3,keyasint,omitempty"`
	// Value, if there is one, is kept for the row's version.
	Value []byte `cbor:"4,keyasint,omitempty"`
}

// valueOf names a value.
type valueOf struct {
	Key     string  `cbor:"1,keyasint"`
	Version Version `cbor:"2,keyasint"`
}

// shelf is what a replica has stored.
type shelf struct {
	rows      map[string]Row
	values    map[valueOf][]byte
	announced map[valueOf]bool
}

// shelfOf returns the shelf on a node's disk.
func shelfOf(n *site.Node) *shelf {
	if n.Disk.Content == nil {
		n.Disk.Content = &shelf{rows: map[string]Row{}, values: map[valueOf][]byte{},
			announced: map[valueOf]bool{}}
	}
	return n.Disk.Content.(*shelf)
}

// store carries out a request. The value of a row that is not the key's any more is dropped.
func (s *shelf) store(r *Store) {
	name, held := valueOf{r.Row.Key, r.Row.Version}, s.rows[r.Row.Key]
	newer := r.Row.Version.Compare(held.Version)
	if newer < 0 {
		delete(s.values, name)
		delete(s.announced, name)
		return
	}
	if r.Announce {
		s.announced[name] = true
	}
	if r.Value != nil {
		s.values[name] = r.Value
	}
	if r.Commit && newer > 0 {
		delete(s.values, valueOf{held.Key, held.Version})
		delete(s.announced, name)
		s.rows[r.Row.Key] = r.Row
	}
}
