// Package crash breaks clusters of real processes while clients use them, and lets the checkers of sim/check
// judge what the clients saw: every acknowledged object must be there at the end, byte for byte, nothing
// stale, nothing taken back.
//
// A node is killed by SIGKILL at a random moment, or kills itself at a named point between two durable steps,
// if its binary was built with failpoints; see [Points]. Before it is started again, granary check reads all
// that it has left on the disk, and must find nothing wrong. Further stories stop a node without killing it,
// and fill a disk. What a power cut loses, which killed processes do not, is the simulator's matter.
package crash
