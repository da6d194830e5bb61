// Package plots draws figures from data files. It knows no other package of the project: a figure is a
// function of a CSV file and of a description that lies next to it, so it can be made again without running
// anything.
//
// An experiment has a file figures.toml in its folder, with one table for each figure:
//
//	[[figure]]
//	file = "latency.svg"              # where to draw it, in the same folder
//	data = "data.csv"                 # what to draw, in the same folder
//	kind = "lines"                    # or "bars"
//	title = "Latency by distance"
//	x = { column = "km", label = "distance", unit = "km" }
//	y = { label = "latency", unit = "ms" }
//
//	[[figure.series]]
//	label = "reads"                   # in the legend; none: no entry
//	where = { operation = "read" }    # the rows: those whose columns have these texts
//	y = "mean"                        # the column to draw
//	low = "min"                       # optional columns: the ends of the error bars
//	high = "max"
//
// Lines want a number in the x column, and no number twice in a series. Bars want categories instead: an x
// such as { category = "{zone}, {disk}" } makes one for each distinct text, in order of appearance, and the
// bars of several series stand side by side in it. With only = ["north", "south"] those categories are shown,
// in that order, and no others.
//
// Further settings: of a figure, height and width in points; of the axes, min and max; of a series of lines,
// style ("both", "points", "line" or "dashed") and spread ("bars" or "band"), of any series, color (1 to 7;
// its place in the list by default) and optional = true, which leaves it out when no line is of it. Unknown
// settings are errors.
//
// Colours are those of Okabe and Ito, which the colour-blind tell apart; every series has a mark of its own
// too.
//
// Determinism: the same files give the same bytes. Nothing here reads a clock, or a map in its own order.
// Errors: every fault of the data names the file and the line.
package plots
