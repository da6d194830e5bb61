// Package check judges histories of a store from the outside: what clients asked, what they were told, in
// which order. It knows no machinery, so a history may come from the simulator or from real processes.
//
// # The promise
//
// A key holds the content of one write or nothing. The default promise of the store is: after a write was
// acknowledged, every read returns that write or one that was not yet acknowledged when that write began. A
// write whose outcome is unknown may take effect at any later time; a write that failed for certain never
// does.
//
// # The rule
//
// Every operation is an interval [call, return] of event numbers. A write precedes another operation when it
// was acknowledged before the other was called; a write of unknown outcome returns never, so it precedes
// nothing. The key begins with a deletion that precedes everything. Deletions write absence. A read R may
// return what a write w wrote if and only if
//
//	(1) w did not fail for certain,
//	(2) w was called before R returned, and
//	(3) no write w2 exists with w before w2 and w2 before R.
//
// Reads that name no write (absent, or "something is there") are legal when some write with that effect
// passes. A copy is a write whose value is told by its ETag; one of unknown outcome may have written any
// value of its source.
//
// Why this is the promise: (3) is the promise's sentence, with "every read" for R and "one acknowledged when
// that write began" for w; (2) refuses values from the future, (1) those that were taken back.
//
// The rule is that of a regular register with many writers: R passes exactly if all writes and R alone can be
// put into a row that respects precedence and in which w is the last write before R. If w2 stands between, it
// does so in every row. If none does, take first every write that precedes w or R, then w, then R, then the
// rest: what precedes R does not follow w, so it may stand before w, and R precedes none of the first group,
// since it returned after w was called. Reads are judged one by one: two reads may see two
// concurrent writes in different orders. The tests compare this with a twin that enumerates the rows.
//
// # The checkers
//
//  1. [Direct] judges every read by the rule in O(log n), with the latest call among the writes acknowledged
//     before R: a candidate is superseded if and only if it was acknowledged before that call. It also
//     compares bytes, sizes and ETags, and judges listings.
//  2. [Porcupine] judges the same promise as a sequential model with the set of admissible current writes as
//     its state: a call adds its write, an acknowledgement removes the writes that were acknowledged at its
//     call, a read must find its value in the set. Calls and acknowledgements are points in time already; a
//     read is shrunk to the point at which it passes if it passes anywhere in its interval (the set only
//     loses members in between, except when a candidate joins). So the search has nothing to branch on, and a
//     hot key costs no more than others.
//  3. [Agree] demands one verdict of both, key by key.
//  4. [Durable] demands that every key that was ever acknowledged can be read at the end.
//  5. [Alive] demands that everything succeeds once nothing stands in its way.
//  6. [Converged] demands that all replicas of a partition hold the same at the end, whoever was down
//     meanwhile.
//
// A listing is judged as a read of every key that it covers, in the interval of the pages that show it: an
// entry is a read of that ETag and size; a key of the covered range that no page shows was read as absent, in
// the interval from the page of its lower neighbour to that of its upper one; a common prefix says that
// something is there in at least one of its keys.
//
// A history and its checkers belong to one task or goroutine at a time. Nothing here waits or reads a clock;
// budgets are counted in steps, so that verdicts are the same on every machine.
package check
