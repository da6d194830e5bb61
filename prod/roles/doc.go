// Package roles reads descriptions of clusters that need not exist: who would store how much where, as the
// command line plans with them.
//
// A file is TOML:
//
//	replicas = 3        # copies of each partition, on distinct nodes (3)
//	min_zones = 0       # zones among them, at the least; 0 is as many as there are (0)
//	min_regions = 0     # regions among them: zones are named region/zone; 0 and 1 ask for none (0)
//	partitions = 256    # a power of two (256)
//	tolerance = "1%"    # capacity that may be given up to move less: "1%", "0.01" or 0.01 (0)
//
//	[[node]]            # one for each node
//	name = "celeri"
//	zone = "neptune"
//	capacity = "5T"     # bytes, or with a unit as in 500G, 1.5T, 64Mi; 0 is a gateway
//
// Keys that are not these are refused. Every fault is reported, with the file, line and column, the key, and
// what would be right.
//
// A previous table is read from the JSON that the simulation printed: of its fields only "table" is needed,
// a list of the names of nodes for each partition.
package roles
