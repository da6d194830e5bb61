package table

// fullPK is the partition key of every full-copy table.
var fullPK = []byte{0}

// FullPK is the partition key, one byte, of all full-copy tables: their Defs have PKLen 1.
func FullPK() []byte { return fullPK }

// FullSpans are the rows of the full-copy tables.
func (t *Tables) FullSpans() (spans []Span) {
	for _, s := range t.registry.tables {
		if s != nil && s.fullCopy() {
			spans = append(spans, spanOfTable(s, fullPK))
		}
	}
	return spans
}
