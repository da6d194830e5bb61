package k2v

import (
	"cmp"
	"encoding/base64"
	"slices"

	"granary/core/codec"
	"granary/core/crdt"
)

// MarkerMax bounds an encoded marker, in bytes.
const MarkerMax = 2 << 20

var kindMarker = codec.Register(0x73, 1, "k2v marker")

// marker is what a client of PollRange has seen: of each node all that it wrote in the range up to Clock;
// and of the items named one by one, ordered by sort key, what is beyond that.
//
// Only a node's own whole answer moves its time in Clock: nobody else knows all that it wrote.
type marker struct {
	Clock crdt.Context `cbor:"1,keyasint,omitempty"`
	Items []told       `cbor:"2,keyasint,omitempty"`
}

// told is an item in a state that was told.
type told struct {
	SK   string       `cbor:"1,keyasint"`
	Seen crdt.Context `cbor:"2,keyasint"`
}

func toldOf(sk string, seen crdt.Context) told { return told{sk, seen} }

func (m marker) find(sk string) (int, bool) {
	return slices.BinarySearchFunc(m.Items, sk, func(t told, sk string) int { return cmp.Compare(t.SK, sk) })
}

// isNew reports whether an item in that context has something that was not told.
func (m marker) isNew(sk string, context crdt.Context) bool {
	seen := m.Clock
	if i, ok := m.find(sk); ok {
		seen = seen.Join(m.Items[i].Seen)
	}
	return context.Newer(seen)
}

// mark returns what has been seen after node answered with items that were new to m, ordered by sort key;
// whole says that these were all.
func (m marker) mark(node uint64, items []told, whole bool) marker {
	for _, t := range items {
		if whole {
			m.Clock = m.Clock.With(crdt.Dot{Node: node, Time: t.Seen.At(node)})
		}
	}
	return m.join(marker{Items: items})
}

// join returns what m or o has seen, in the one form that it has.
func (m marker) join(o marker) marker {
	out := marker{Clock: m.Clock.Join(o.Clock)}
	a, b := m.Items, o.Items
	for len(a) > 0 || len(b) > 0 {
		var t told
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].SK < b[0].SK:
			t, a = a[0], a[1:]
		case len(a) == 0 || b[0].SK < a[0].SK:
			t, b = b[0], b[1:]
		default:
			t, a, b = told{a[0].SK, a[0].Seen.Join(b[0].Seen)}, a[1:], b[1:]
		}
		if beyond := t.beyond(out.Clock); len(beyond.Seen) > 0 {
			out.Items = append(out.Items, beyond)
		}
	}
	return out
}

// beyond leaves of a told item what the clock does not cover.
func (t told) beyond(clock crdt.Context) told {
	var rest crdt.Context
	for _, d := range t.Seen {
		if d.Time > clock.At(d.Node) {
			rest = append(rest, d)
		}
	}
	return told{t.SK, rest}
}

// restrict leaves of a marker what concerns the sort keys that hold wants.
func (m marker) restrict(hold func(sk string) bool) marker {
	var items []told
	for _, t := range m.Items {
		if hold(t.SK) {
			items = append(items, t)
		}
	}
	return marker{m.Clock, items}
}

// encode returns the marker for clients. Errors: ErrInvalid if it would be too long.
func (m marker) encode() (string, error) {
	b, err := codec.Seal(kindMarker, 1, m)
	if err != nil {
		return "", err
	}
	if len(b) > MarkerMax {
		return "", invalid("the range holds more than a marker can name (%d bytes, at most %d): "+
			"poll narrower ranges",
			len(b), MarkerMax)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

func parseMarker(text string) (marker, error) {
	if len(text) > base64.RawURLEncoding.EncodedLen(MarkerMax) {
		return marker{}, invalid("seenMarker: %d bytes; at most %d", len(text), MarkerMax)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return marker{}, invalid("seenMarker: not one that PollRange returned")
	}
	m, err := codec.Load[marker](b, kindMarker)
	if err != nil || !m.ordered() {
		return marker{}, invalid("seenMarker: not one that PollRange returned")
	}
	return m, nil
}

// ordered reports whether the marker has the form that join makes.
func (m marker) ordered() bool {
	sorted := func(c crdt.Context) bool {
		return slices.IsSortedFunc(c, func(a, b crdt.Dot) int {
			return cmp.Or(cmp.Compare(a.Node, b.Node),
				-1)
		})
	}
	for i, t := range m.Items {
		if !sorted(t.Seen) || i > 0 && m.Items[i-1].SK >= t.SK {
			return false
		}
	}
	return sorted(m.Clock)
}

func sortedKeys(m map[string]crdt.DVVS) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
