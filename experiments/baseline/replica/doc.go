// Package replica is what the baselines without a leader are built of: replicas that keep, for each key, the
// row of the highest version and its value, and the rounds that a coordinator makes of them.
//
// A version is a counter and the number of its writer, so no two are equal. A coordinator that takes a
// counter above all that a majority has, and stores its row at a majority, is the writer of the register of
// Attiya, Bar-Noy and Dolev for many writers; a reader who stores what it returns at a majority, unless it
// is there already, is its reader. So single keys are linearizable, whatever fails. Listings join what a
// majority has and store nothing: they are not.
//
// Mutants, for the tests: "replica/read of one" is content with one answer, "replica/no write-back" returns a
// row that a majority need not have, "replica/own counter" takes the counter from the node's own replica.
package replica
