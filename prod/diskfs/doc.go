// Package diskfs is the production [block.Disk]: one file per block on a local file system.
//
//	root/
//	  DISK            "granary disk 1", the disk's id: tells this disk from an empty mount point
//	  LOCK            held by the process that uses the disk
//	  tmp/            files being written; emptied by Open
//	  blocks/00..ff/  files named by their hash in hexadecimal, by its first byte
//
// A Write makes a temporary file, writes it, syncs it, renames it into its folder and syncs the folder. All
// folders are made by Open, with their parents synced, so that no Write creates one.
//
// The rules, which the tests cite:
//
//  1. After a crash at any moment a file is the old one or the new one, whole; the new one once Write has
//     returned.
//  2. What an opened disk shows is durable: Open syncs every folder, for the process before may have been
//     killed between a rename and the sync of its folder.
//  3. Writes into one folder share a sync, but only one that began after their renames.
//  4. A failed sync is never retried, because the kernel may have dropped the pages and report success the
//     next time. The disk refuses all later writes, also those whose own sync has just succeeded, and
//     Options.Failed is called. A temporary file that cannot be synced for lack of space is no such failure:
//     it is removed, and the disk is full.
//  5. A Write is refused when the free space would fall below the reserve, so that metadata and removals go
//     on working. What other Writes are about to take is not counted: at most WritesMax files.
//  6. A folder that should hold a disk and does not, or holds another, is refused and not touched.
//
// Failpoints (see steps.go) stand before and after each durable step; they do nothing unless the package is
// built by failpoint-toolexec, as the head of failpoint_test.go describes.
package diskfs
