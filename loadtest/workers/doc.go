// Package workers runs the devices and publishers of a scenario, in this process or in several, by orders.
//
//  1. A worker has its own users, with their devices and their publisher, so that latencies and the checks need no clock and
//     no data of another process.
//  2. An order goes to all workers at once, and the next one only after all have answered. A rate is divided by users.
//  3. Every order is bounded in time.
//
// Goroutines: one a worker while an order is under way; one for each child, and two in it.
package workers
