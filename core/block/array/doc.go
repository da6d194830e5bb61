// Package array makes one [block.Disk] of several disks of unlike size.
//
// A block's home is chosen by weighted rendezvous: each disk draws a number from the hashes of its own id
// and of the block, and the greatest, taken by weight, wins. So every disk gets its share, nothing is
// written down, and when a disk comes or goes only its own share moves. The rules:
//
//  1. Write goes to the block's home; if that is full, to the next disk in the block's order. What other
//     disks have of the block is then removed.
//  2. Read asks the disks in the block's order and takes the first file there is.
//  3. A disk whose Write fails for another reason than space, that [Array.Fail] names, or that answers
//     nothing but errors, is out of use until the node starts again: its blocks are absent. The others go on.
//     The last one stays in use, and the array fails as that disk does.
//  4. A disk that was not opened, because it is not there or is not the one expected, is out of use from the
//     beginning.
//
// A block that is on no disk in use is read as absent, with the reason if a disk is out of use; the block
// store above fetches it from other nodes, and moves what is not at home (package block, scrub).
package array
