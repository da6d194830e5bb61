package object

import (
	"encoding/hex"
	"errors"
	"io"
	"time"

	"granary/core/bucket"
	"granary/core/hlc"
)

// Limits of the object model. Sizes are in bytes.
const (
	KeyMax      = 1024     // longest object key
	PartMax     = 10_000   // highest part number, and most parts of an upload
	PartSizeMin = 5 << 20  // smallest part but the last
	ObjectMax   = 5 << 40  // largest object
	PutMax      = 5 << 30  // largest body of one PutObject or UploadPart
	MetaMax     = 2 << 10  // user metadata, names and values together
	InlineMax   = 32 << 10 // largest payload carried with its row
	PageMax     = 1000     // entries of a listing page
	DeleteMax   = 1000     // keys of one DeleteObjects
)

// Key is an object's key: 1 to KeyMax bytes of UTF-8, leading slashes allowed.
type Key string

// VersionID names one version of an object. The owner of its blocks is either a VersionID or a part's attempt
// id.
type VersionID [16]byte

// String returns the id in hexadecimal.
func (v VersionID) String() string { return hex.EncodeToString(v[:]) }

// UploadID names a multipart upload; clients see String.
type UploadID [16]byte

// String returns the id in hexadecimal.
func (u UploadID) String() string { return hex.EncodeToString(u[:]) }

// Checksum is one additional checksum of an object or part, as S3 shows it.
type Checksum struct {
	Algo  string `cbor:"1,keyasint"`           // "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"
	Value string `cbor:"2,keyasint"`           // base64, with "-N" for a composite one
	Type  string `cbor:"3,keyasint,omitempty"` // "FULL_OBJECT" or "COMPOSITE"
}

// Sums are the results of having read a whole body.
type Sums struct {
	ETag      string // hexadecimal MD5, no quotes
	Checksums []Checksum
}

// Body is the content of a PutObject or UploadPart. Sums is called once, after Read returned io.EOF; its
// error (a digest that does not match, a bad signature) refuses the content, and nothing becomes visible.
type Body interface {
	io.Reader
	Sums() (Sums, error)
}

// Header is one stored header: a standard one that S3 keeps (Content-Type, Cache-Control, …) by its canonical
// name, or user metadata as "x-amz-meta-name" in lower case.
type Header struct {
	Name  string `cbor:"1,keyasint"`
	Value string `cbor:"2,keyasint"`
}

// Info describes a complete object.
type Info struct {
	Key       Key
	Version   VersionID
	Stamp     hlc.Stamp
	Size      int64
	ETag      string // no quotes; "md5-N" for a multipart object
	Headers   []Header
	Checksums []Checksum
	Parts     int // number of parts of a multipart object, 0 for a plain one
}

// Modified is the object's Last-Modified, in UTC, to the second as HTTP shows it and to the ms as XML does.
func (i Info) Modified() time.Time { return i.Stamp.Time() }

// Entry is one object of a listing.
type Entry struct {
	Key      Key
	Size     int64
	ETag     string
	Modified time.Time
	Checksum string // algorithm of its checksum, empty if none
}

// ListQuery asks for a page of a listing. Token, if not empty, is a NextToken of an earlier page and wins
// over After.
type ListQuery struct {
	Prefix    string
	Delimiter string
	After     string // only keys and common prefixes behind this key, or behind this common prefix
	Token     string
	Max       int // entries and common prefixes together, 1 to PageMax
}

// Page is a page of a listing: entries and common prefixes, each in ascending order.
type Page struct {
	Entries   []Entry
	Prefixes  []string
	Truncated bool
	NextToken string // opaque; set when Truncated
	NextKey   string // the last key or prefix delivered: what ListObjects v1 calls NextMarker
}

// GetOptions say what of an object will be read, so that it comes with the first round.
type GetOptions struct {
	Offset int64 // first byte wanted; negative: that many from the end
	Part   int   // part wanted, 0 for none
}

// PartRef names a part in a Complete.
type PartRef struct {
	Number    int
	ETag      string
	Checksums []Checksum // those the client repeats; each must match
}

// PartInfo describes an uploaded part.
type PartInfo struct {
	Number    int
	Size      int64
	ETag      string
	Modified  time.Time
	Checksums []Checksum
}

// UploadInfo describes an upload in progress.
type UploadInfo struct {
	Key       Key
	ID        UploadID
	Initiated time.Time
	Algo      string // of the checksums its parts carry, empty if none
	Type      string // FULL_OBJECT or COMPOSITE
}

// UploadsPage is a page of the uploads in progress, ordered by key, then upload id, with common prefixes in
// ascending order.
type UploadsPage struct {
	Uploads    []UploadInfo
	Prefixes   []string
	Truncated  bool
	NextKey    string // the last key or prefix delivered; set when Truncated
	NextUpload string // the last upload's id as String shows it, empty after a prefix
}

// CompleteOptions are a Complete's parts, in order, and how the sums of the whole follow from theirs.
type CompleteOptions struct {
	Parts []PartRef
	Size  int64 // of the whole as the client claims it, -1 if it does not
	// Combine returns the ETag and checksums of the object made of these parts; its error refuses the
	// Complete.
	Combine func(UploadInfo, []PartInfo) (Sums, error)
}

// CopySource names what a copy reads. Check is called with the source before anything is written; its error
// ends the copy. Start and End are inclusive-exclusive and only for parts; a zero End means the whole object.
// Body, if not nil, makes the content pass through it, so that sums are computed anew; copies into parts
// always do.
type CopySource struct {
	Bucket     bucket.BucketID
	Key        Key
	Check      func(Info) error
	Start, End int64
	Body       func(io.Reader) Body
}

// Kinds of errors, for errors.Is.
var (
	ErrNoSuchKey      = errors.New("no such object")
	ErrNoSuchUpload   = errors.New("no such upload")
	ErrInvalidPart    = errors.New("invalid part")
	ErrPartOrder      = errors.New("parts are not in ascending order")
	ErrPartTooSmall   = errors.New("part too small")
	ErrTooLarge       = errors.New("entity too large")
	ErrInvalidRange   = errors.New("range not satisfiable")
	ErrUploadConflict = errors.New("the upload was completed differently")
	ErrBadKey         = errors.New("invalid object key")
	ErrBadToken       = errors.New("malformed continuation token")
)
