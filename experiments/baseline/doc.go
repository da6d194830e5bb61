// Package baseline measures what granary is compared with, on the network that it is measured on: stores of
// other designs, each small, honest, and checked for linearizability under faults.
//
//   - raftlog: a log with a leader, on go.etcd.io/raft;
//   - lockstore: a lock at a quorum, then the request at a quorum, as MinIO does;
//   - fourround: a quorum store whose PUT takes four rounds.
//
// All of them keep three replicas, one in each site. They are favoured in that their clients call them
// without HTTP and signatures, and that disks and processors take no time.
package baseline
