// Package bucket keeps buckets with their CORS rules, access keys and grants in full-copy tables: every node
// has them all, so that looking one up costs no round trip.
//
// A positive answer comes from the local copy, while a lease says that it has all that was acknowledged until
// shortly before (table.Fresh): so a revocation holds everywhere soon, or nothing is answered. A negative one
// is given only after a quorum of the voters has confirmed it, so that a bucket or key that was just created
// through another node is found; for requests that prove no identity the confirmations are rationed.
//
// Who has a name is decided by a register of its own, so of two who create a bucket at once one gets it. The
// rows that everybody reads follow what the register decided.
//
// A bucket is deleted behind its gate, a row that every replica of objects and items checks in the
// transaction of every write: the register decides that it shuts, it is shut at a write quorum of every
// partition, and only then it is found out whether the bucket is empty, and the register decides the end,
// unless the gate was moved meanwhile. So of a write and a deletion that meet, one fails. A gate that was
// left shut is opened by whoever finds it so for some minutes.
package bucket

import (
	"cmp"
	"encoding/hex"
	"errors"
	"time"

	"granary/core/cors"
	"granary/core/table"
)

// BucketID names a bucket for ever; it is the partition key of everything in the bucket.
type BucketID [16]byte

// String returns the id in hexadecimal.
func (b BucketID) String() string { return hex.EncodeToString(b[:]) }

// Bucket is what is known of a bucket.
type Bucket struct {
	ID      BucketID
	Name    string
	Owner   KeyID
	Created time.Time // UTC, ms
	Grants  []Grant   // ordered by Key
	// Consistency is the level of requests to its objects that name none.
	Consistency table.Consistency
	// CORS says what pages of other origins may do in it; nil for nothing.
	CORS cors.Rules
}

// KeyID is the public half of an access key, as in the Authorization header.
type KeyID string

// Compare orders ids by their bytes.
func (k KeyID) Compare(o KeyID) int { return cmp.Compare(k, o) }

// Key is an access key.
type Key struct {
	ID            KeyID
	Secret        string
	Name          string // for people
	CreateBuckets bool   // may create buckets
	Created       time.Time
}

// String returns the id: a Key in a log line does not tell its secret.
func (k Key) String() string { return string(k.ID) }

// GoString returns the id, as String does.
func (k Key) GoString() string { return string(k.ID) }

// Grant is what a key may do in a bucket.
type Grant struct {
	Key   KeyID
	Read  bool // get, head, list
	Write bool // put, delete, multipart
	Owner bool // delete the bucket, change its grants; implies nothing else
}

// Kinds of errors, for errors.Is.
var (
	ErrNoSuchBucket   = errors.New("no such bucket")
	ErrBucketExists   = errors.New("bucket already exists")
	ErrBucketOwned    = errors.New("bucket already owned by you")
	ErrBucketNotEmpty = errors.New("bucket is not empty")
	ErrInvalidName    = errors.New("invalid bucket name")
	ErrNoSuchKey      = errors.New("no such access key")
	ErrInvalidKey     = errors.New("invalid access key")
	ErrDenied         = errors.New("access denied")
)
