// Package k2v keeps items of concurrent values under two keys: the partition key says where, the sort key
// orders inside. No concurrent write is lost: who writes names by a token what it has read, and replaces
// just that.
//
// The contract with the caller:
//
//  1. A write that returned no error is in every later read, or in the causal past of what is: no value is
//     ever dropped but by a write whose context covers it.
//  2. A failed write may have happened, unless the error says otherwise. It never stands beside itself.
//  3. Every item has a limit of concurrent values and bytes; a writer that never reads is refused by ErrFull
//     when it has filled its share.
//  4. Polls tell each state at least once, however long the poller was away.
//  5. The index follows the items within seconds, and agrees with them once writes rest.
//
// Only storage nodes of a partition write values, each in a local transaction, and then bring them to a write
// quorum. DESIGN.md has the reasons.
package k2v
