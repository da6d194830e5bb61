package s3

import "granary/core/cors"

// Bounds of what one request may bring, in bytes unless said otherwise. Those of objects are in package
// object.
const (
	// headMax bounds the names and values of a request's headers together.
	headMax = 32 << 10
	// keptMax bounds the standard headers that are stored with an object, together.
	keptMax = 4 << 10
	// paramsMax bounds the number of query parameters.
	paramsMax = 256
	// createMax bounds the document of a CreateBucket.
	createMax = 16 << 10
	// corsMax bounds the document of a PutBucketCors, tags and spaces included.
	corsMax = 4 * cors.SizeMax
	// deleteMax bounds the document of a DeleteObjects: 1000 keys of 1024 bytes, some of them escaped.
	deleteMax = 2 << 20
	// completeMax bounds the document of a CompleteMultipartUpload: 10,000 parts with a checksum each.
	completeMax = 4 << 20
	// bucketsPageMax is the number of buckets of a ListBuckets page.
	bucketsPageMax = 10_000

	// bufferSize is the size of a buffer for copying and for listings.
	bufferSize = 256 << 10
	// bufferKept is the largest buffer that is kept for the next request.
	bufferKept = 1 << 20
	// buffersKept is the number of buffers that wait for a request.
	buffersKept = 16
)
