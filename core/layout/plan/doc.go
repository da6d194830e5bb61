// Package plan says what a layout would be before it is made: how much the cluster could hold, what limits it
// and what would help, what a change moves and how long that takes, and what speaks against it. It also
// finds the cheapest capacity that reaches a target.
//
// What it promises:
//
//  1. It decides nothing. The table is that of layout.Assign; a Report describes it, and whoever applies it
//     computes it again. Nothing here is stored or sent between nodes.
//  2. Amounts of bytes and partitions are exact: they come from layout.Assign, layout.Optimum and
//     layout.NewBound, which know integers only. "+1 TB on X gives Y" is the answer for that terabyte, from
//     an evaluation of the changed cluster, not a price times an amount.
//  3. Floats are for display: shares, prices, seconds. They may differ in the last digits between machines.
//  4. gonum's simplex method solves the linear programs, which are scaled to about one and have at most
//     RowsMax rows, since a call cannot be stopped. Where a program is too large, a smaller one with the
//     same optimum takes its place, or a greedy method, and the report says so. Make compares the bound with
//     such a program every time; a difference is an alarm in the report, and decides nothing either.
//  5. Every warning and refusal has a stable code, its numbers, and what to do about it.
//
// All functions are pure, and may be called concurrently.
package plan
