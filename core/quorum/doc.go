// Package quorum is the read and write engine over a cluster's view: it sends a call to replicas, gathers the
// answers as they arrive, and decides when enough of them are there.
//
// A [Round] is one such broadcast: reads take answers until they have R and cancel the rest; writes take them
// until a [Tally] says that the write is acknowledged, and leave the rest to finish in the background within
// named limits.
//
// The rule of acknowledgement, in full at [Tally]: a write counts once W replicas of the read set
// answered clean, meaning that they knew nothing newer for the key, and W of every other live set stored it.
// Since two write quorums meet, an acknowledged write is then newer than every write acknowledged before it
// began, whatever the clocks said. A replica that is behind-answering stores the row too; a write is stamped
// anew only when W clean answers have become impossible, and only before it is acknowledged.
package quorum
