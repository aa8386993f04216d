// Package scenario is the load tests: what each does, in which order, and what it makes of the figures.
//
//  1. A scenario is a straight line of orders to a crew; the server's usage is read between them.
//  2. Whatever a scenario measures, it ends with the ledger: everything accepted has come, or it is named.
//     A floor (package baseline) is judged by the same ledger; it passes since its streams are cut in storms alone.
//  3. Every scenario is bounded in time by its parameters.
//
// Goroutines: two a run: the server's usage over time, and the live line. slow, which has no crew, has four instead: its device,
// over SSE its acks, who keeps low messages pending, and who looks at the kernel's queue.
package scenario
