// Package bolt is the kv engine of production: one file of go.etcd.io/bbolt.
//
// Updates are collected by the group commit of core/kv/group and written in one bbolt transaction, sorted by
// key, with one fsync for the data and one for the meta page. See DESIGN.md for what bbolt does not promise
// and how it is obtained.
package bolt
