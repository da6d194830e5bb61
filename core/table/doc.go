// Package table keeps replicated rows: CRDT tables partitioned by the hash of their partition key, or copied
// to every node.
//
// A row's value is a join semilattice and merging is the only write, so replicas may receive rows in any
// order and any number of times. Rows of one partition key travel in row batches, applied by a replica in one
// local transaction: what belongs together is never seen apart.
//
// The contract with the caller:
//
//  1. [Tables.Write] returns without error only when the batch is durable on a write quorum and, for
//     voted rows, newer than everything acknowledged before it began; see package quorum.
//  2. [Tables.Fetch] asks a read quorum and joins what it gets. Replicas found to lack something are
//     sent it in the background.
//  3. [ListRows] pages through the rows of a partition key, folding common prefixes on the replicas;
//     [ScanRows] through all of a range.
//  4. Replicas that missed something are caught up by anti-entropy, which compares digests that every
//     transaction keeps; see DESIGN.md.
//  5. Hooks of a [Def] run inside the replica's transaction, on every replica, and see only that
//     transaction.
package table
