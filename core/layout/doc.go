// Package layout says where data lives: which nodes store each partition, and how that table is computed
// and checked.
//
// The hash of a row's partition key has a 16-bit Prefix, whose first bits are its Partition. A Version maps
// every partition to n distinct nodes in at least α zones. It is computed once, by Assign, from the
// operators' Roles and Params; it is chosen by the cluster, named by its Hash, and from then on never
// changed. While one follows another both are live; the engine above writes to quorums in each of them.
//
// What the package promises:
//
//  1. Size: with no tolerance, the partition size of a table is the largest that any valid table has
//     (Theorem 1 of DESIGN.md). Two inequalities decide that, so any node can check a table that it is
//     given: Validate.
//  2. Validity: the replicas of a partition are distinct, in at least α zones, and no node is given more
//     than it can hold.
//  3. Movement: no table of that partition size moves fewer replicas away from the previous one. If every
//     node can still hold what it has, at the new size, and the zones still suffice, nothing moves.
//  4. Determinism: Assign is a pure function of its arguments, the order of roles aside; integers only;
//     ties break by NodeID. Algorithm numbers the function, so that nodes can tell a newer one from a
//     fault.
//  5. Dispersion: within these, nodes share partitions with as many others as possible, as evenly as a
//     bounded search finds.
package layout
