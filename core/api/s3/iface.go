package s3

import (
	"context"
	"io"

	"granary/core/bucket"
	"granary/core/cors"
	"granary/core/object"
)

// Objects is what the endpoint needs of objects. Errors are of the kinds of packages object and quorum; a
// failed write whose error is not quorum.ErrUnknown (nor the end of ctx) has not happened and will not.
type Objects interface {
	// Put stores an object once body has ended with io.EOF and its Sums are in order. Size is -1 when
	// unknown.
	Put(ctx context.Context, b bucket.BucketID, k object.Key, headers []object.Header, size int64,
		body object.Body) (object.Info, error)
	// Get finds an object for reading. The caller closes it.
	Get(ctx context.Context, b bucket.BucketID, k object.Key, o object.GetOptions) (Object, error)
	// Head describes an object.
	Head(ctx context.Context, b bucket.BucketID, k object.Key) (object.Info, error)
	// Delete removes an object; that there was none is no error.
	Delete(ctx context.Context, b bucket.BucketID, k object.Key) error
	// DeleteMany removes objects and returns one error for each, in order.
	DeleteMany(ctx context.Context, b bucket.BucketID, keys []object.Key) []error
	// List returns a page of a listing.
	List(ctx context.Context, b bucket.BucketID, q object.ListQuery) (object.Page, error)
	// Copy stores the source under another key. Headers replace those of the source unless nil.
	Copy(ctx context.Context, b bucket.BucketID, k object.Key, src object.CopySource,
		headers *[]object.Header) (object.Info, error)

	// CreateUpload begins a multipart upload. Algo and typ are those of its checksums, "" for none.
	CreateUpload(ctx context.Context, b bucket.BucketID, k object.Key, headers []object.Header,
		algo, typ string) (object.UploadID, error)
	// PutPart stores part n, in place of an earlier part n.
	PutPart(ctx context.Context, b bucket.BucketID, k object.Key, u object.UploadID, n int, size int64,
		body object.Body) (object.PartInfo, error)
	// CopyPart is PutPart from an object.
	CopyPart(ctx context.Context, b bucket.BucketID, k object.Key, u object.UploadID, n int,
		src object.CopySource) (object.PartInfo, error)
	// Complete makes the object of its parts. Repeated with the same parts it returns the same object.
	Complete(ctx context.Context, b bucket.BucketID, k object.Key, u object.UploadID,
		o object.CompleteOptions) (object.Info, error)
	// Abort ends an upload and drops its parts.
	Abort(ctx context.Context, b bucket.BucketID, k object.Key, u object.UploadID) error
	// ListParts returns up to max parts with numbers above after, in order, and whether there are more.
	ListParts(ctx context.Context, b bucket.BucketID, k object.Key, u object.UploadID,
		after, max int) (parts []object.PartInfo, truncated bool, up object.UploadInfo, err error)
	// ListUploads returns a page of the uploads in progress, ordered by key, then upload id. The markers are
	// those of the page before, empty for the first page.
	ListUploads(ctx context.Context, b bucket.BucketID, prefix, delimiter, keyMarker, uploadMarker string,
		max int) (object.UploadsPage, error)
}

// Object is an object that was found and is about to be read.
type Object interface {
	// Info describes the object.
	Info() object.Info
	// PartRange returns where part n begins and its length. A plain object is its part 1.
	PartRange(n int) (off, length int64, err error)
	// Open returns a reader of n bytes from off once the first block of them is in hand. The caller closes
	// it. The reader's error, or its end before n bytes, means that the rest cannot be had.
	Open(ctx context.Context, off, n int64) (io.ReadCloser, error)
	// Close ends the use of the object.
	Close()
}

// Buckets is what the endpoint needs of buckets and access keys. Errors are of the kinds of package bucket.
type Buckets interface {
	// ByName finds a bucket.
	ByName(ctx context.Context, name string) (bucket.Bucket, error)
	// Create makes a bucket whose owner may do everything in it.
	Create(ctx context.Context, name string, owner bucket.KeyID) (bucket.Bucket, error)
	// Delete removes an empty bucket.
	Delete(ctx context.Context, b bucket.Bucket) error
	// CORS returns a bucket's rules for the pages of other origins, to a request that has proved nothing.
	CORS(ctx context.Context, name string) (cors.Rules, error)
	// SetCORS replaces them; none takes them away.
	SetCORS(ctx context.Context, b bucket.Bucket, rules cors.Rules) error
	// Again resolves a bucket's name once more after a write was refused with bucket.ErrClosed: nil if it is
	// still this bucket.
	Again(ctx context.Context, b bucket.Bucket) error
	// Visible returns the buckets in which a key has a grant, ordered by name.
	Visible(ctx context.Context, k bucket.KeyID) ([]bucket.Bucket, error)
	// Key finds an access key.
	Key(ctx context.Context, k bucket.KeyID) (bucket.Key, error)
}
