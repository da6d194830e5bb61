// Package register holds compare-and-swap registers for the few things that need agreement: the names of
// buckets, and the next layout. It is never on the data path.
//
// A register is a value, by key, that changes from what it is to what a function makes of it, one change
// after the other, whoever asks where: it is linearizable. Each change is one decree of Paxos without a
// log, as in Rystsov, "CASPaxos: Replicated State Machines without logs" (2018): prepare at a quorum of
// the voters, which promise to accept nothing older and say what they accepted last; apply the function to
// the newest of that; accept the result at a quorum. Two rounds, more only while others change the same
// register.
//
// The contract with the caller:
//
//  1. A value that Change or Read returned is decided: every later Read returns it or a successor of it.
//  2. When Change fails with quorum.ErrUnknown, its value may be decided now, later, or never. The
//     function must know its own value when it meets it again, since an attempt that was cut short may have
//     succeeded: put something unique into it, and return what is there unchanged.
//  3. The function may be called several times, and with values that are never decided; it must be pure.
//  4. The voters are those of the full-copy tables: the storage nodes, of which a quorum is needed in each
//     live layout version (layout.Voters: by zones where there are three or more). Where they change, whoever
//     changes them must bring each register to a quorum of the new ones before the old ones are retired.
//  5. A voter's promises are durable before it answers. One that lost its store must not vote as if it had
//     never promised.
package register
