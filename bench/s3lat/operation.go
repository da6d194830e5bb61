package s3lat

// Operation is what is timed. Two are parts of a request, measured with the whole.
type Operation string

// The operations.
const (
	ListBuckets  Operation = "ListBuckets"
	ListObjects  Operation = "ListObjects"
	GetObject    Operation = "GetObject"
	GetFirstByte Operation = "GetObject first byte"      // from the request until a byte of the body is there
	PutObject    Operation = "PutObject"                 // the whole, body included
	PutLastByte  Operation = "PutObject after last byte" // from the body's end until the answer
	RemoveObject Operation = "RemoveObject"
)

// Operations are all of them, in the order of tables.
var Operations = []Operation{ListBuckets, GetObject, GetFirstByte, PutObject, PutLastByte, ListObjects,
	RemoveObject}

// Listed is the prefix that ListObjects asks for at an object: its key but for the last character, so that
// ten objects are listed however many there are. An answer of one packet meets the jitter once; one of many
// packets meets the worst of as many draws, which is another measurement.
func Listed(key string) string { return key[:max(len(key)-1, 0)] }

// inlineMax is the largest object whose bytes travel with its row.
const inlineMax = 32 << 10

// QuorumRounds is how often an operation on an object of that size must hear from a majority of sites, one
// after the other: not at all for what every node knows; once to read, and to write what fits into one
// message; twice for larger objects, whose row may say that the data are there only when they are.
func (o Operation) QuorumRounds(size int64) int {
	switch o {
	case ListBuckets:
		return 0
	case PutObject, PutLastByte:
		if size > inlineMax {
			return 2
		}
	}
	return 1
}
