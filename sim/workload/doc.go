// Package workload is what clients do to a store in the simulator: a plan drawn from a seed, S3 clients that
// carry it out through wire, and the history they record for sim/check.
//
// A [Plan] is data: one line for each operation, with everything about it. Dropping a line changes no other,
// so that a failing plan can be made small. Values verify themselves: their bytes follow from the operation's
// id, are made on the fly and compared while they are read, and the id travels with the object as metadata.
//
// What a client is told decides the outcome that is recorded:
//
//	2xx                                      acknowledged
//	a request that did not leave it whole    failed: the store cannot have acted on it
//	4xx, 503 other than OutcomeUnknown       failed: the store says so
//	everything else, silence included        unknown
//
// Clients try another node when one refuses the connection, and repeat nothing: a retry would be a new write.
package workload
