// Package lockstore is the baseline that locks, as MinIO does: a request takes a lock of its key at a
// majority of the replicas, then reads or writes at a majority, then unlocks without waiting for it.
//
// Writers exclude everybody, readers only writers. Who gets too few locks returns them, rests for a random
// time and asks again. A lock lapses after a while, for its holder may have died; a replica that crashes
// forgets its locks. So two may hold one lock, and no lock keeps a request from arriving late: what makes
// keys linearizable is that the round of the lock brings the highest version along, and that versions are
// never equal (see package replica). Listings and the list of buckets take no lock.
//
// Mutant, for the tests: "lockstore/write without lock" leaves the lock and its round out.
package lockstore
