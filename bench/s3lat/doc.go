// Package s3lat measures how long single S3 requests take, one at a time, in any world: real endpoints
// through an S3 client, or a simulated one in virtual time. What differs between the worlds is a [Store]
// and a [Clock]; the plan, the summary, the lower bound and the file are the same, so that rows of both can
// lie in one file and be compared.
//
//   - [Measure] makes the requests of a [Plan] and returns a [Sample] for each.
//   - [Summarize] makes a [Row] of the samples of one bar: count, mean, least, greatest, median, 99th
//     percentile.
//   - [Bound] is what no store that waits for a majority of sites can beat on a topology, in the mean.
//   - [WriteCSV], [ReadCSV] and [Table] are the file and the table a person reads.
//
// The file has one line per (world, system, topology, operation, size_bytes, idle_s). Its columns:
//
//	world       real, sim, or published (a chart of others, read off; only the mean is known)
//	system      what answered, and where its client stood if that matters: "raftlog, leader's site"
//	topology    the name of a netsim topology
//	operation   ListBuckets, ListObjects, GetObject, GetObject first byte, PutObject,
//	            PutObject after last byte, RemoveObject
//	size_bytes  of the objects of the run, also where none is moved
//	idle_s      how long all rested before each request
//	count       requests; 0 if unknown
//	mean_ms min_ms max_ms p50_ms p99_ms
//	rtts        mean_ms over one round trip between sites, without jitter; 0 if the topology has no sites
//	bound_ms    lower bound of the mean; 0: none
//	over_bound  mean_ms over bound_ms; empty if there is no bound
package s3lat
