// Package machine has what a load test needs of its machine: descriptors, processors, ports, and a server process of its own.
//
//  1. A process is bound before it starts, so that all its threads are, and Go's GOMAXPROCS follows.
//  2. A server that was started is always ended, and its data removed.
//
// Goroutines: two a server: one reads its output, one keeps the thread that it was started from.
package machine
