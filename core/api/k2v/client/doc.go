// Package client speaks the K2V API: over an *http.Client against a server, or over anything else that
// answers requests, as in the simulator.
//
// Who reads, changes and writes an item sends the token of what it read. What others wrote meanwhile then
// stays beside the new value, and the next reader gets all of it and merges: see [Client.Update].
package client
