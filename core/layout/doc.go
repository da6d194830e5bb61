// Package layout says where data lives: which nodes store each partition, and how that table is computed
// and checked.
//
// The hash of a row's partition key has a 16-bit Prefix, whose first bits are its Partition. A Version maps
// every partition to n distinct nodes in at least α zones. It is computed once, by Assign, from the
// operators' Roles and Params; it is chosen by the cluster, named by its Hash, and from then on never
// changed. During a transition several versions are live, in a History; the engine above writes to quorums
// in each of them.
//
// What the package promises:
//
//  1. Size: with no tolerance, the partition size of a table is the largest that any valid table has
//     (Theorem 1 of DESIGN.md). Two inequalities decide that, so any node can check a table that it is
//     given: Validate.
//  2. Validity: the replicas of a partition are distinct, in at least α zones, and no node is given more
//     than it can hold.
//  3. Movement: of the previous table as many replicas stay as the new sizes and zones allow, before new
//     ones are placed. Placing the new ones moves a kept replica only where no direct place is left, so
//     the total can exceed the minimum (DESIGN.md has measurements). If every node can still hold what it
//     has, at the new size, and the zones still suffice, nothing moves.
//  4. Determinism: Assign is a pure function of its arguments, the order of roles aside; integers only;
//     ties break by NodeID. Algorithm numbers the function, so that nodes can tell a newer one from a
//     fault.
//
// Replicas that share a partition in a first table are spread over their zones' nodes by a fixed shuffle.
// No further effort is made to spread partners, neither here nor when a table changes.
package layout
