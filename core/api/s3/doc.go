// Package s3 is the S3 endpoint: an http.Handler that turns requests into calls of [Objects] and [Buckets],
// and what they return into S3's answers.
//
// The contract with the caller:
//
//  1. Every request passes the same gates in the same order: request id, readiness, routing, the table of
//     headers and parameters, signature, bucket, grant, and only then its operation. Nothing is read of a
//     body before the last. A browser's preflight ends after routing, with what the bucket's CORS rules say.
//  2. No header and no parameter is ignored that would change what is stored or deleted. One table, in
//     table.go, says of each whether it is used, harmless, accepted with certain values, or refused;
//     [Compatibility] prints it.
//  3. A status of 200 or 206 on a read is sent only when the first block is in hand. When a later one cannot
//     be had the handler panics with http.ErrAbortHandler, so that the connection is reset and never ends as
//     if all were sent.
//  4. A write is answered only when [Objects] has answered it. Its body is verified on the way: signature,
//     length, digests; Objects learns of a body that is not what the client meant from Read or from Sums,
//     before it commits.
//  5. Bytes in memory are bounded per request: one copy buffer for a read, none for a write, named limits in
//     limits.go for documents, headers and parameters.
//
// A [Handler] may be used by many tasks. It decides nothing about data: what a key holds, and whether a write
// happened, is said by the packages below.
package s3
