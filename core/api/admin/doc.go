// Package admin is the API by which a person or a program looks at a node and changes what the cluster
// agrees on: an http.Handler that speaks JSON. The command line is its client, and its types are the types
// of this package.
//
//	GET    /v1/status                  what is there, what is missing, what to worry about
//	GET    /v1/buckets                 POST creates one
//	GET    /v1/buckets/{name}          DELETE deletes it; POST …/allow and …/deny change what a key may do
//	GET    /v1/keys                    POST creates one; POST /v1/keys/import takes one from elsewhere
//	GET    /v1/keys/{id}               ?secret=show shows its secret; DELETE revokes it
//	GET    /v1/layout                  what is live and what is staged; GET …/history what was live
//	POST   /v1/layout/assign           stages a role; …/remove that a node has none, …/params parameters,
//	                                   …/revert what is live, or was
//	GET    /v1/layout/plan             what a version made of what is staged would be; ?bandwidth=BYTES
//	POST   /v1/layout/apply            makes it
//	POST   /v1/layout/rebalance        makes one that places anew what is live, on a budget
//	GET    /v1/layout/explain          what limits the layout; …/{node} why a node has what it has
//	POST   /v1/layout/simulate         what a layout would be after changes that nobody staged; …/buy which
//	                                   capacity to buy
//	GET    /v1/blocks/lost             blocks that are on no node in reach; ?after=HASH goes on; POST
//	                                   /v1/blocks/give-up has nobody wait for them
//	GET    /v1/nodes                   DELETE /v1/nodes/{node} removes a member for good
//	POST   /v1/tokens                  a join token
//	POST   /v1/init  /v1/join          found a cluster, or become a member of one
//	GET    /livez  /readyz  /metrics   for machines
//
// The contract with the caller:
//
//  1. [Handler.Trusted] serves everything to everybody: it is for the socket in the data folder, which only
//     its owner can open. [Handler.Guarded] is for everything else: it wants a bearer token for all but
//     /livez and /readyz, and, from loopback addresses, /metrics.
//  2. A refusal is an [Error] with a stable code, a message and, where there is one, what to do next.
//     Nothing was changed, unless the code is outcome_unknown.
//  3. A body is at most BodyMax bytes of JSON without unknown fields.
//  4. What the plan of a layout warns of, and wants to be confirmed, is refused until it is, by its code: for
//     programs as for people.
//  5. A secret is in the answer that creates a key or token, and in the answer to ?secret=show, and nowhere
//     else.
package admin
