package s3

import "net/http"

// level is what a request's path names.
type level uint8

const (
	atService level = iota
	atBucket
	atObject
)

// String returns the level's name for the documentation.
func (l level) String() string { return [...]string{"service", "bucket", "object", ""}[l&3] }

// need is what the signer must be allowed.
type need uint8

const (
	needSigned need = iota // any known key
	needCreate             // a key that may create buckets
	needGrant              // any grant in the bucket
	needRead
	needWrite
	needOwner
)

// opID names an operation that is carried out here. Zero is none.
type opID uint8

const (
	opNone opID = iota
	opListBuckets
	opCreateBucket
	opHeadBucket
	opDeleteBucket
	opGetBucketLocation
	opGetBucketCors
	opPutBucketCors
	opDeleteBucketCors
	opListObjects
	opListObjectsV2
	opDeleteObjects
	opListMultipartUploads
	opGetObject
	opHeadObject
	opPutObject
	opCopyObject
	opDeleteObject
	opCreateMultipartUpload
	opUploadPart
	opUploadPartCopy
	opCompleteMultipartUpload
	opAbortMultipartUpload
	opListParts
	opCount
)

// operation is one row of the table of operations.
type operation struct {
	name   string
	method string
	at     level
	need   need
	writes bool // changes what is stored: unknown parameters are refused
	run    func(*call) error
}

// operations describes every operation that is carried out.
var operations = [opCount]operation{
	opListBuckets:  {"ListBuckets", http.MethodGet, atService, needSigned, false, (*call).listBuckets},
	opCreateBucket: {"CreateBucket", http.MethodPut, atBucket, needCreate, true, (*call).createBucket},
	opHeadBucket:   {"HeadBucket", http.MethodHead, atBucket, needRead, false, (*call).headBucket},
	opDeleteBucket: {"DeleteBucket", http.MethodDelete, atBucket, needOwner, true, (*call).deleteBucket},
	opGetBucketLocation: {"GetBucketLocation", http.MethodGet, atBucket, needGrant, false,
		(*call).bucketLocation},
	opGetBucketCors: {"GetBucketCors", http.MethodGet, atBucket, needOwner, false, (*call).getCORS},
	opPutBucketCors: {"PutBucketCors", http.MethodPut, atBucket, needOwner, true, (*call).putCORS},
	opDeleteBucketCors: {"DeleteBucketCors", http.MethodDelete, atBucket, needOwner, true,
		(*call).deleteCORS},
	opListObjects:   {"ListObjects", http.MethodGet, atBucket, needRead, false, (*call).listObjects},
	opListObjectsV2: {"ListObjectsV2", http.MethodGet, atBucket, needRead, false, (*call).listObjectsV2},
	opDeleteObjects: {"DeleteObjects", http.MethodPost, atBucket, needWrite, true, (*call).deleteObjects},
	opListMultipartUploads: {"ListMultipartUploads", http.MethodGet, atBucket, needWrite, false,
		(*call).listUploads},
	opGetObject:    {"GetObject", http.MethodGet, atObject, needRead, false, (*call).getObject},
	opHeadObject:   {"HeadObject", http.MethodHead, atObject, needRead, false, (*call).headObject},
	opPutObject:    {"PutObject", http.MethodPut, atObject, needWrite, true, (*call).putObject},
	opCopyObject:   {"CopyObject", http.MethodPut, atObject, needWrite, true, (*call).copyObject},
	opDeleteObject: {"DeleteObject", http.MethodDelete, atObject, needWrite, true, (*call).deleteObject},
	opCreateMultipartUpload: {"CreateMultipartUpload", http.MethodPost, atObject, needWrite, true,
		(*call).createUpload},
	opUploadPart:     {"UploadPart", http.MethodPut, atObject, needWrite, true, (*call).uploadPart},
	opUploadPartCopy: {"UploadPartCopy", http.MethodPut, atObject, needWrite, true, (*call).uploadPartCopy},
	opCompleteMultipartUpload: {"CompleteMultipartUpload", http.MethodPost, atObject, needWrite, true,
		(*call).completeUpload},
	opAbortMultipartUpload: {"AbortMultipartUpload", http.MethodDelete, atObject, needWrite, true,
		(*call).abortUpload},
	opListParts: {"ListParts", http.MethodGet, atObject, needWrite, false, (*call).listParts},
}

// ops is a set of operations.
type ops uint32

// opsOf returns the set of some operations.
func opsOf(ids ...opID) (set ops) {
	for _, id := range ids {
		set |= 1 << id
	}
	return set
}

// has reports whether an operation is in the set.
func (o ops) has(id opID) bool { return o&(1<<id) != 0 }

// The sets that the tables are written with.
const everyOp ops = 1<<opCount - 2

var (
	opsReadObject = opsOf(opGetObject, opHeadObject)
	opsKeep       = opsOf(opPutObject, opCopyObject, opCreateMultipartUpload) // headers are stored
	opsWrite      = opsOf(opCreateBucket, opDeleteBucket, opPutBucketCors, opDeleteBucketCors,
		opDeleteObjects, opDeleteObject, opCompleteMultipartUpload, opAbortMultipartUpload) | opsKeep |
		opsPart
	opsCORS     = opsOf(opGetBucketCors, opPutBucketCors, opDeleteBucketCors)
	opsContent  = opsOf(opPutObject, opUploadPart)                        // body is content
	opsDocument = opsOf(opCreateBucket, opPutBucketCors, opDeleteObjects) // body is XML with digests
	opsCopy     = opsOf(opCopyObject, opUploadPartCopy)
	opsPart     = opsOf(opUploadPart, opUploadPartCopy)
	opsUpload   = opsPart | opsOf(opCompleteMultipartUpload, opAbortMultipartUpload, opListParts)
	opsList     = opsOf(opListObjects, opListObjectsV2, opListMultipartUploads)
)
