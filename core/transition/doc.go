// Package transition brings a node's store to where the layout wants it: it takes over the rows that are new
// to the node from replicas that have them, waits until the blocks are here too that any replica has, carries
// the registers to the new voters, and drops what belongs to others now.
//
// The contract, of which core/cluster's DESIGN.md has the reasons:
//
//  1. The node says that it is in sync with a version, or with the parts of it up to a turn, only when its
//     store holds, of everything that was ever acknowledged, what the version gives it there, with blocks;
//     until then it stores writes and answers for nothing.
//  2. Rows are taken over from replicas that are in sync themselves, and whose fence is up before they
//     answer: nobody who does not know the new version can add to what they had.
//  3. A store that takes the place of a lost one takes over from a read quorum of others, and begins when all
//     that counted an answer of the lost one is decided.
//  4. A node takes part in at most layout.TransfersPerNode transfers at once, as a receiver and as a source,
//     which it enforces itself: a source gives so many places, and refuses others, who ask somebody else or
//     come again. A place is lost when its node says nothing for a while. Parts are taken over in the order
//     of the change's turns, and of the layout's waves in a turn; nobody waits for another's.
//  5. Nothing is dropped before the version that wanted it is retired in that part, and then at once, while
//     other parts are still on their way.
package transition
