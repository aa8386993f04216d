// Package workers makes devices and publishers do what a scenario orders, in this process or in several.
//
//  1. A worker has users of its own, their devices and the publishing to them, so that latencies and the ledger need no
//     clock and no word from another process.
//  2. An order goes to all workers at once; the next one only after all have answered. Rates are shared by users.
//  3. Every order is bounded in time.
//
// Goroutines: one a worker while an order is under way; one for each child, and two in it.
package workers
