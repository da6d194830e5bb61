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

// QuorumRounds is how often an operation must hear from a majority of sites, one time after the other: not
// at all for what every node knows, else once. That goes for large objects too: their row may say that the
// data are there only when they are, but a site that has both can tell without asking.
func (o Operation) QuorumRounds() int {
	if o == ListBuckets {
		return 0
	}
	return 1
}
