// Package daemon is one running node: the core composed with real disks, sockets and clocks, and the
// listeners in front of it.
//
// The data folder, for its owner only:
//
//	FORMAT         what the folder is, and the version of its layout
//	LOCK           held by the process that uses the folder; holds its process id
//	node.key       the node's Ed25519 key
//	metadata.db    the metadata store
//	snapshots/     copies of it, and what restores replaced
//	DISK           which disk the blocks are on, so that an empty mount point is not taken for it
//	DISKS          instead of DISK: which disks, each with its folder, if data.disks lists several
//	blocks/        the block disk, unless data.blocks says where else it is
//	dev.json       the credentials of a --dev store
//	admin.sock     the admin API, while the process runs
//	granary.toml   the configuration, if init or join wrote one
//
// The rules, which the tests cite:
//
//  1. One process per folder. A folder of another format, or of another kind (dev or node), or that holds
//     other files, is refused and not touched.
//  2. Only the owner of the folder reaches the admin API without a token: the folder is 0700, the socket
//  0600. Over TCP it wants a bearer token, on loopback or TLS.
//  3. A client that neither sends nor takes data is cut after a time, however long its request is otherwise
//     allowed to take; connections, headers and handshakes are bounded.
//  4. Stop lets requests and background writes finish, within its time, before anything is closed. Nothing is
//     accepted meanwhile, and /readyz says no.
//  5. A broken invariant or a failed sync ends the process at once with ExitBroken: what is on the disk is
//     then whole, and what is in memory cannot be trusted.
//  6. When nothing is free above the reserve, objects and items are refused with the cause; reads, deletions
//     and all other metadata go on.
//  7. A snapshot is whole or not there. A restore, wherever it is cut off, leaves the one store or the other,
//     and the restored one has a new identity.
package daemon
