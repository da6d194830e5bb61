// Package cli is the command line of granary: it starts the server, and is the client of its admin API.
//
// A command that asks or changes something finds the server by its data folder (--data, by default
// ./granary-data), through the socket in it, or over TCP by --admin URL with the bearer token in
// GRANARY_ADMIN_TOKEN.
//
// init and join talk to the server that runs on the data folder. When none does, they start it themselves
// and stay, so that three commands on three machines make a cluster:
//
//	paris$ granary init --zone paris --advertise paris.example.org
//	lyon$  granary join TOKEN --zone lyon
//	nice$  granary join TOKEN --zone nice
//
// What they were told is kept in granary.toml in the data folder, so that later `granary server` is enough.
//
// Output is for people unless --json is given. A secret is printed when it is made and when --show-secret
// asks for it; with --json only then. No command takes a secret as an argument, but for join tokens, which
// work once.
//
// Exit codes: 0 done; 1 refused or failed, with the reason on standard error; 2 the command line or the
// configuration is wrong; 3 the server stopped itself to protect data.
package cli
