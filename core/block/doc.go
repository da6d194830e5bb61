// Package block stores content: blocks of up to SizeMax bytes, addressed by their hash, on the replicas that
// the layout gives to the hash.
//
// A block is kept because something refers to it: its references are rows on the replicas of the block
// itself, stored by the same call that stores the block. The contract:
//
//  1. [Store.Put] returns only when block and reference are durable on a write quorum.
//  2. Bytes are verified against their hash when they arrive at a replica and when they are read,
//     compressed or not. A block that is already there is verified before a second copy of it is
//     skipped.
//  3. At one replica, everything about one hash is serialised: check, file, reference. The order is
//     file (durable), then presence and reference in one transaction, then the answer.
//  4. What a live reference here names is fetched from other replicas if it is not here, those with the
//     fewest copies first ([Store.Missing] counts them); what no live reference names any more is removed
//     after a while. [Store.Release] ends references.
//  5. Buffers are counted: their number bounds the memory of all transfers of a node.
package block
