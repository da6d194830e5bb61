// Package stopwatch times S3 requests to a simulated cluster, in virtual time.
//
// A [Client] stands beside one machine of a [world.World] and sends it signed requests, one at a time,
// through the handler that production serves; each gives a [Lap].
package stopwatch
