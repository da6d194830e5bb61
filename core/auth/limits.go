package auth

import "time"

// Bounds of what one request may ask of the verifier. All are checked before a key is looked up.
const (
	// SkewMax is how far the time of a request may lie from ours, in either direction.
	SkewMax = 15 * time.Minute
	// ExpiresMax is the longest life of a presigned URL.
	ExpiresMax = 7 * 24 * time.Hour

	// authorizationMax bounds the Authorization header, in bytes.
	authorizationMax = 8 << 10
	// keyIDMax bounds an access key id, in bytes.
	keyIDMax = 128
	// signedHeadersMax bounds the names in SignedHeaders.
	signedHeadersMax = 256
	// queryParamsMax bounds the parameters of a query string.
	queryParamsMax = 1024

	// ChunkMax bounds one chunk of a chunked body, in bytes: the largest body of one S3 request. SDKs send a
	// whole body as a single unsigned chunk. A chunk is never buffered, so its size costs no memory.
	ChunkMax = 5 << 30
	// chunkLineMax bounds the line before a chunk: size, signature, CRLF.
	chunkLineMax = 128
	// trailerLineMax bounds one line of a trailer.
	trailerLineMax = 512
	// trailersMax bounds the fields of a trailer, the signature not counted.
	trailersMax = 4

	// PolicyMax bounds a POST policy document in base64, in bytes.
	PolicyMax = 20 << 10
	// policyConditionsMax bounds the conditions of a POST policy.
	policyConditionsMax = 256

	// emptyReadsMax is how often a reader may return nothing and no error before it counts as broken.
	emptyReadsMax = 100
)
