// Package k2v answers the K2V API: items of concurrent values under a partition key and a sort key, by
// HTTP and JSON, compatible with existing K2V clients. docs/k2v.md describes it for users.
//
// A request passes these gates, in order; the first that refuses it answers it:
//
//  1. the node is ready;
//  2. the request is one of the API, by method, path and parameters; a browser's preflight ends here, with
//     what the bucket's CORS rules say;
//  3. its signature is good, for the service "k2v" and this region;
//  4. the bucket exists, and the signer's key may read or write in it;
//  5. the body is as long as it may be, matches what was signed, and parses.
//
// Whatever is wrong is told as JSON, with a stable code and a text that names the field. A failed write says
// whether it may have happened.
package k2v
