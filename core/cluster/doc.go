// Package cluster knows who belongs to the cluster, how to reach them, and which layout is live.
//
// What it knows is one document, a join semilattice: members, staged layout changes, the live layout and the
// history of those before it. Each node stores it, compares it with a random other member every few seconds,
// and sends it round at once when it changes. Tables and blocks ask the cluster for a [View]: the replica
// sets of a partition in the live versions.
//
// The contract (DESIGN.md has it as invariants, which tests cite):
//
//  1. A peer whose key is neither a member's nor an unexpired join token's is refused inside the
//     transport's handshake. A token's key may call one method only, and only once.
//  2. A node is removed by a mark that every later join keeps; its key is refused wherever the mark
//     has arrived.
//  3. The first layout of a cluster is made by the node that founded it, as soon as enough nodes and zones
//     are there. Each later one is chosen by the storage nodes of the one before, whoever applies it, and
//     put in place step by step, while reads and writes go on. Replicas hold each request against what they
//     know of the layouts ([AdmitWrite], [AdmitRead]), and answer for what their stores know.
//  4. A node's own clock is compared with those of its peers, reported when it differs, and corrected
//     when it differs too much.
package cluster
