// Package fault breaks simulated clusters. A plan of faults is data: events, one a line, that are drawn
// from a seed, written, read again, made fewer, and carried out on a world.
//
// A line is
//
//	AFTER KIND ON[>TO] [AMOUNT] for HOW-LONG
//
// as in "1.5s latency a>b 200ms for 4s"; "for good" lasts until everything is healed. [Kinds] lists what
// there is, with the meaning of the amount.
//
// # What a drawn plan may do
//
// Each plan first draws which kinds of faults exist in it at all, and how often they come: leaving some out
// finds more than having all at medium strength. It also draws victims, all the nodes of one zone where
// there are three, else one node. Faults that destroy data, or last for good, hit victims only: whatever
// happens, the other copies are whole, so that every promise is still to be kept. On disks that do not
// sync, nothing cuts the power.
//
// Kinds that the store does not survive in every case have Awaits set, which says what is missing: they can
// be written in a plan, and are drawn by none, unless they are asked for. To have one drawn, clear its Awaits
// in the table of kinds.go.
package fault
