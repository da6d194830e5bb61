// Package linear makes clients work on a baseline while its network and its nodes fail, and has porcupine
// judge whether what they saw is linearizable: whether each request can be taken to have happened at one
// moment between its start and its end, such that every read returns the last write. That is more than
// granary promises for objects, and what stores with a leader or with locks are chosen for.
//
// A write that failed may take place at any time from its start on, or never.
package linear
