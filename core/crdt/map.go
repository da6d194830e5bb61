package crdt

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"granary/core/codec"
)

// Key is what a Map is keyed by: a type with a total order, as rt.NodeID is.
type Key[K any] interface {
	Compare(o K) int
}

// Text is a string as a Key.
type Text string

// Compare orders by bytes.
func (t Text) Compare(o Text) int { return cmp.Compare(t, o) }

// Uint is a number as a Key.
type Uint uint64

// Compare orders by value.
func (u Uint) Compare(o Uint) int { return cmp.Compare(u, o) }

// Map is a map of lattice values, joined key by key. Keys are only added; a value type that can be deleted
// says so itself (Deletable). Zero is the empty map.
// Determinism: iteration and encoding are in key order.
// Cost: Get O(log n); With O(n), since it copies; Join O(n + m).
type Map[K Key[K], V Lattice[V]] struct {
	entries []entry[K, V] // ascending keys, none twice
}

type entry[K, V any] struct {
	_     struct{} `cbor:",toarray"`
	Key   K
	Value V
}

// Len returns the number of keys.
func (m Map[K, V]) Len() int { return len(m.entries) }

// IsZero reports whether m has no keys.
func (m Map[K, V]) IsZero() bool { return len(m.entries) == 0 }

// Get returns the value of key; ok is false, and the value zero, if there is none.
func (m Map[K, V]) Get(key K) (value V, ok bool) {
	i, ok := m.find(key)
	if !ok {
		return value, false
	}
	return m.entries[i].Value, true
}

func (m Map[K, V]) find(key K) (int, bool) {
	return slices.BinarySearchFunc(m.entries, key, func(e entry[K, V], k K) int { return e.Key.Compare(k) })
}

// All iterates over keys and values in key order.
func (m Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, e := range m.entries {
			if !yield(e.Key, e.Value) {
				return
			}
		}
	}
}

// With returns a copy of m in which value is joined into key's.
func (m Map[K, V]) With(key K, value V) Map[K, V] {
	i, ok := m.find(key)
	if ok {
		out := slices.Clone(m.entries)
		out[i].Value = out[i].Value.Join(value)
		return Map[K, V]{out}
	}
	out := make([]entry[K, V], 0, len(m.entries)+1)
	out = append(out, m.entries[:i]...)
	out = append(out, entry[K, V]{Key: key, Value: value})
	return Map[K, V]{append(out, m.entries[i:]...)}
}

// Join returns the map of all keys of both, with joined values.
func (m Map[K, V]) Join(o Map[K, V]) Map[K, V] {
	a, b := m.entries, o.entries
	if len(b) == 0 {
		return m
	}
	if len(a) == 0 {
		return o
	}
	out := make([]entry[K, V], 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch order := a[0].Key.Compare(b[0].Key); {
		case order < 0:
			out, a = append(out, a[0]), a[1:]
		case order > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			out = append(out, entry[K, V]{Key: a[0].Key, Value: a[0].Value.Join(b[0].Value)})
			a, b = a[1:], b[1:]
		}
	}
	out = append(out, a...)
	return Map[K, V]{append(out, b...)}
}

// MarshalCBOR encodes m as an array of pairs [key, value] in key order.
func (m Map[K, V]) MarshalCBOR() ([]byte, error) {
	if m.entries == nil {
		return codec.Marshal([]entry[K, V]{})
	}
	return codec.Marshal(m.entries)
}

// UnmarshalCBOR reads what MarshalCBOR wrote; keys out of order or twice are an error.
func (m *Map[K, V]) UnmarshalCBOR(data []byte) error {
	var entries []entry[K, V]
	if err := codec.Unmarshal(data, &entries); err != nil {
		return err
	}
	for i := 1; i < len(entries); i++ {
		if entries[i-1].Key.Compare(entries[i].Key) >= 0 {
			return fmt.Errorf("crdt: map keys %v and %v out of order", entries[i-1].Key, entries[i].Key)
		}
	}
	m.entries = nil
	if len(entries) > 0 {
		m.entries = entries
	}
	return nil
}
