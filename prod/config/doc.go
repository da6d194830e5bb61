// Package config is what an operator may choose for one node: a TOML file, the environment and flags, laid
// over defaults in this order, so that flags beat the environment and that beats the file.
//
// A key is written section.key. In the file it is a key of a table, in the environment GRANARY_SECTION_KEY,
// as a flag --set section.key=value (the command line has short names for the common ones). A name that is
// not a key is a fault, with its line and the nearest name that is one. Load reports every fault at once.
//
// What the cluster agrees on (replicas, zones, buckets, keys) is not here: it is kept in the cluster, and
// changed by commands.
package config
