// Package hlc has the stamps that order writes: hybrid logical clocks, which follow the wall clock while it
// behaves and count on when it does not.
//
// A stamp is one 64-bit number, 48 bits of milliseconds since 1970 and 16 bits of counter. Counter overflow
// carries into the milliseconds, so a stamp is advanced by adding one. Stamps of different nodes may be
// equal; rows order by (stamp, version id).
//
// The rules (numbers in brackets are items of the protocol page of the design):
//
//  1. A Clock never issues a stamp twice, nor one below an earlier one, whatever the wall clock does, and
//     also not after a restart: no stamp is issued above a ceiling that is durable already (18). The
//     ceiling moves in steps of CeilingStep, so this costs one small write in ten seconds.
//  2. Stamps merge from every message; the next stamp issued is above them all (2). A message's stamp that is
//     more than SkewMax ahead of all that this node knows is not merged: see Clock.Hear.
//  3. A stamp that a coordinator made itself is refused by the receiver when it is more than SkewMax ahead
//     of the receiver's wall clock, so that one bad clock cannot make keys unwritable for long. A re-stamp
//     carries the head that it exceeds, and may be ahead as far as that head is (17).
package hlc
