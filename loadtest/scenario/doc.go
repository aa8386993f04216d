// Package scenario is the load tests: what each of them does, and which figures it reports.
//
//  1. A scenario is a straight line of orders to workers; the server's CPU and memory are read between them.
//  2. Whatever a scenario measures, it ends with a check: everything accepted has come, or it is reported as lost.
//     The baseline server is checked in the same way; it passes, since its streams are cut only in storms.
//  3. Every scenario is bounded in time by its parameters.
//
// Goroutines: two a run: the server's usage over time, and the live line. slow, which has no workers, has four instead: its device,
// over SSE its acks, who keeps low messages pending, and who looks at the kernel's queue.
package scenario
