// Package disk is the simulator's [block.Disk]: files in memory that behave, over a crash, as badly as a real
// file system may.
//
// An [Image] is the disk itself and outlives the nodes that run on it; [Open] gives a node a [Disk] on it. Of
// every file the image knows two states: what a running node sees (the page cache) and what is durable. A
// Write takes the same steps as the real disk, each in virtual time: create a temporary file, write it, sync
// it, rename it, sync the folder. [Image.PowerCut] then leaves what such a machine may leave:
//
//   - a rename or removal whose folder was not synced since is kept or lost, each file for itself;
//   - of a file that was not synced, each 4 KiB piece is kept, zero or garbage, and the end may be missing;
//   - temporary files are gone.
//
// A node that is killed without a power cut loses nothing but its temporary files.
//
// The world turns the image's knobs, at any moment: timing, capacity, a dead or slow disk, syncs that fail, a
// bit that flips, a sector that cannot be read, a write that lands elsewhere. Not modelled: a folder sync
// that fails and whose renames a later sync pretends to have saved; damage to the folders themselves.
//
// All of it is a function of the calls and of the random streams given to it.
package disk
