package block

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"granary/core/codec"
	"granary/core/kv"
	"granary/core/layout"
)

// The node's own records of blocks, beside presence: what is to be fetched, what is to be removed.
//
//	\x02block/wanted/   | hash prefix, 2 bytes | hash   -> rank and reason, 1 byte each
//	\x02block/rank/     | rank, 1 byte | hash           -> nothing
//	\x02block/unwanted/ | wall time in ms, 8 bytes | hash -> nothing
//	\x02block/unknown/  | hash                     -> wall time in ms, 8 bytes, when its file was first seen
//
// A block is wanted if a live reference is here and the block is not. Its rank is the order of fetching.
var (
	keyWanted   = []byte("\x02block/wanted/")
	keyRank     = []byte("\x02block/rank/")
	keyUnwanted = []byte("\x02block/unwanted/")
	keyUnknown  = []byte("\x02block/unknown/")
)

// reason says why a block is wanted.
type reason uint8

const (
	reasonNew  reason = iota // it was never here
	reasonLost               // scrub found it damaged or missing
	// reasonGivenUp: nobody waits for it, though whoever has a copy is still asked.
	reasonGivenUp
)

// rank says how urgent a wanted block is. Between the named ones it is the number of other replicas that hold
// the block.
type rank uint8

const (
	rankUnknown rank = 0    // not asked yet
	rankMany    rank = 0xfc // as many copies as that, or more
	rankGone    rank = 0xfd // every other replica has said that it does not hold it
	rankGivenUp rank = 0xfe // no replica in reach holds it, nor had any member when it was given up
	rankNowhere rank = 0xff // no replica in reach holds it
)

func wantedKey(h Hash) []byte {
	k := binary.BigEndian.AppendUint16(append([]byte(nil), keyWanted...), uint16(layout.PrefixOf(h[:])))
	return append(k, h[:]...)
}

func rankKey(r rank, h Hash) []byte {
	return append(append(append([]byte(nil), keyRank...), byte(r)), h[:]...)
}

func unwantedKey(due int64, h Hash) []byte {
	k := binary.BigEndian.AppendUint64(append([]byte(nil), keyUnwanted...), uint64(due))
	return append(k, h[:]...)
}

// want queues a block to be fetched, unless it is, and reports whether it did.
func want(w kv.Writer, h Hash, why reason) bool {
	key := wantedKey(h)
	if w.Get(key) != nil {
		return false
	}
	w.Put(key, []byte{byte(rankUnknown), byte(why)})
	w.Put(rankKey(rankUnknown, h), []byte{})
	return true
}

// unwant takes a block from the queue and reports whether it was in it, and why.
func unwant(w kv.Writer, h Hash) (was bool, why reason) {
	key := wantedKey(h)
	old := w.Get(key)
	if old == nil {
		return false, 0
	}
	why = reason(old[1])
	w.Delete(rankKey(rank(old[0]), h))
	w.Delete(key)
	return true, why
}

// wantedFor says why a block is wanted, if it is.
func wantedFor(r kv.Reader, h Hash) (why reason, ok bool) {
	old := r.Get(wantedKey(h))
	if old == nil {
		return 0, false
	}
	return reason(old[1]), true
}

// rerank changes the rank of a block that is still wanted. Of those that are nowhere the ones that were given
// up have a rank of their own.
func rerank(w kv.Writer, h Hash, to rank) {
	if old := w.Get(wantedKey(h)); old != nil {
		requeue(w, h, rank(old[0]), to, reason(old[1]))
	}
}

// resign makes a wanted block one that nobody waits for, or is waited for again.
func resign(w kv.Writer, h Hash, givenUp bool) {
	old := w.Get(wantedKey(h))
	switch {
	case old == nil || (reason(old[1]) == reasonGivenUp) == givenUp:
	case givenUp:
		requeue(w, h, rank(old[0]), rank(old[0]), reasonGivenUp)
	default:
		requeue(w, h, rank(old[0]), rankUnknown, reasonNew)
	}
}

func requeue(w kv.Writer, h Hash, was, to rank, why reason) {
	if (to == rankNowhere || to == rankGone) && why == reasonGivenUp {
		to = rankGivenUp
	}
	w.Delete(rankKey(was, h))
	w.Put(wantedKey(h), []byte{byte(to), byte(why)})
	w.Put(rankKey(to, h), []byte{})
}

// checkQueues judges a record of the queues. known is false if it is not one.
func checkQueues(key, value []byte) (known bool, err error) {
	if bytes.Equal(key, keyScrub) {
		_, err := codec.Load[scrubState](value, kindScrub)
		return true, err
	}
	for _, q := range []struct {
		prefix      []byte
		key, values int // the lengths of what follows the prefix, and of the value
	}{{keyWanted, 2, 2}, {keyRank, 1, 0}, {keyUnwanted, 8, 0}, {keyUnknown, 0, 8}} {
		rest, its := bytes.CutPrefix(key, q.prefix)
		if !its {
			continue
		}
		if len(rest) != q.key+len(Hash{}) || len(value) != q.values {
			return true, fmt.Errorf("%d bytes of key with %d of value, want %d with %d", len(rest),
				len(value), q.key+len(Hash{}), q.values)
		}
		return true, nil
	}
	return false, nil
}

// ranked returns up to limit wanted blocks of ranks in [from, to], the most urgent first.
func (s *Store) ranked(from, to rank, limit int) ([]Hash, error) {
	return s.rankedIn(rankKey(from, Hash{}), behind(rankKey(to, Hash{})[:len(keyRank)+1]), limit)
}

// rankedIn returns up to limit wanted blocks in [lo, hi) of the order of fetching.
func (s *Store) rankedIn(lo, hi []byte, limit int) (page []Hash, err error) {
	err = s.kv.View(func(r kv.Reader) error {
		r.Ascend(lo, hi, func(k, _ []byte) bool {
			page = append(page, Hash(k[len(k)-len(Hash{}):]))
			return len(page) < limit
		})
		return nil
	})
	return page, err
}

// behind is the first key after all that begin with prefix, whose last byte may be 0xff; the ones used here
// have a lesser one before it.
func behind(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; ; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
}

// countMax is how many records one transaction counts.
const countMax = 10_000

// Missing counts the blocks that live references of this node name and that are not here, of the hashes with
// a prefix from first to last. Those that were given up, and that no replica in reach holds, are not among
// them.
//
// Errors: those of the store. Cost: one scan of what is missing, in short transactions.
func (s *Store) Missing(first, last layout.Prefix) (n int64, err error) {
	return s.count(first, last, rankGivenUp)
}

// Awaited is Missing without the blocks that every other replica has said not to hold: those will not come,
// as those do not whose upload ended before a second replica had them.
func (s *Store) Awaited(first, last layout.Prefix) (n int64, err error) {
	return s.count(first, last, rankGone, rankGivenUp)
}

// count counts the wanted blocks of a range of prefixes but those of some ranks.
func (s *Store) count(first, last layout.Prefix, but ...rank) (n int64, err error) {
	lo := binary.BigEndian.AppendUint16(append([]byte(nil), keyWanted...), uint16(first))
	hi := behind(binary.BigEndian.AppendUint16(append([]byte(nil), keyWanted...), uint16(last)))
	return s.countKeys(lo, hi, func(record []byte) bool { return !slices.Contains(but, rank(record[0])) })
}

// countRank counts the wanted blocks of a rank.
func (s *Store) countRank(r rank) (int64, error) {
	lo := rankKey(r, Hash{})[:len(keyRank)+1]
	return s.countKeys(lo, behind(lo), nil)
}

// countKeys counts the records in [lo, hi) that count, or all if counts is nil, in short transactions.
func (s *Store) countKeys(lo, hi []byte, counts func(record []byte) bool) (n int64, err error) {
	for {
		seen := 0
		err := s.kv.View(func(r kv.Reader) error {
			r.Ascend(lo, hi, func(k, v []byte) bool {
				seen++
				if counts == nil || counts(v) {
					n++
				}
				lo = append(append(lo[:0:0], k...), 0)
				return seen < countMax
			})
			return nil
		})
		if err != nil || seen < countMax {
			return n, err
		}
	}
}

// unwantedEntry is a block in the queue of removals.
type unwantedEntry struct {
	key  []byte
	hash Hash
	due  time.Duration // wall time since 1970
}

// unwanted returns the first entries of the queue of removals.
func (s *Store) unwanted(limit int) (page []unwantedEntry, err error) {
	err = s.kv.View(func(r kv.Reader) error {
		r.Ascend(keyUnwanted, behind(keyUnwanted), func(k, _ []byte) bool {
			ms := binary.BigEndian.Uint64(k[len(keyUnwanted):])
			page = append(page, unwantedEntry{key: append([]byte(nil), k...),
				hash: Hash(k[len(keyUnwanted)+8:]), due: time.Duration(ms) * time.Millisecond})
			return len(page) < limit
		})
		return nil
	})
	return page, err
}
