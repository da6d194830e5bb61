// Package auth decides who sent an HTTP request and whether what arrived is what was sent: AWS Signature
// Version 4 in all its forms, request bodies in signed and unsigned chunks, and the digests and checksums
// of what is stored.
//
// The package is pure. It reads no clock, no socket and no store; the caller passes the time and a
// [Lookup].
//
// The contract with the caller:
//
//  1. A [Request] carries the path and the query as they stood on the request line, still escaped. A path
//     that was decoded and encoded again is another path, and its signature will not match.
//  2. [Verifier.Verify] decides everything but the body. Its result names the signer (or [Anonymous]) and
//     a [Payload], the promise that the signature makes about the body.
//  3. The body must be read through [NewBody] with that Payload until io.EOF. Bytes are handed out before
//     the signature over them is checked; nothing read may be committed before Read has returned io.EOF.
//     Any other error means that the bytes are not what the signer sent, or not all of them.
//  4. Every refusal is an [*Error] with a [Kind] (for errors.Is) and the S3 code that says it
//     ([Error.Code]).
//  5. What a [Lookup] returns as an error other than [ErrUnknownKey] comes back wrapped, without a Kind:
//     the store could not answer, which says nothing about the client.
//
// Nothing here grants anything: that a key may do what the request asks is the business of grants, above.
//
// A [Verifier] may be used by many tasks when its Lock is set or nil; a [Body], a [ChunkParser], a [Hasher]
// and a [ChunkSigner] belong to one task.
package auth
