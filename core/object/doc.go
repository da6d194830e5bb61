// Package object keeps objects: versions with their content in a row or in blocks, multipart uploads,
// listings and copies.
//
// An object row holds the winning version; its content is a payload row of the same batch, up to InlineMax
// bytes, or blocks listed by owners: the version itself for a plain object, one attempt of an UploadPart for
// a part. The contract:
//
//  1. A write becomes visible with one row batch, sent only when everything it refers to is durable on
//     write quorums. That batch does not depend on the client any more.
//  2. A read joins a read quorum of rows, and delivers only verified content of the version that won.
//     What cannot be delivered whole ends in an error, never early.
//  3. A replaced version's content stays until it is reclaimed: its version moves to the garbage in
//     the transaction that replaced it.
//  4. Space is freed only of what every replica has given up, some time later than any read may last; see
//     DESIGN.md.
//
// Memory is bounded by the buffers of package block; nothing holds a whole object.
package object
