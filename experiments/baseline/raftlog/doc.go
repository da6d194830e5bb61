// Package raftlog is the baseline with a leader: a store replicated by a log, on go.etcd.io/raft.
//
// Every site has a member. A request goes to the leader, from the member where it arrived: writes are entries
// of the log, answered when the leader has applied them; reads are answered from the leader's state once it
// has confirmed by a round of heartbeats that it still leads (ReadIndex). So both take a round trip to a
// majority, and one more to the leader when that is elsewhere.
//
// A request that meets a change of leaders is sent again to the next one. An entry has the id of its request,
// and takes effect once, however often it is in the log.
//
// The settings are etcd's: heartbeats every 100 ms, election after 1 to 2 s of silence, pre-vote, and leaders
// that step down when they no longer hear a majority. The library draws election time-outs from crypto/rand;
// here members count the silence themselves (see silence), so that a seed gives one run. Logs are never
// compacted.
//
// Mutants, for the tests: "raftlog/local read" answers reads from the state of the member where they arrive;
// "raftlog/read without index" answers them from that of whoever takes itself for the leader; "raftlog/apply
// twice" forgets which requests took effect.
package raftlog
