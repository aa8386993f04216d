// Package machine is what the machine gives a load test: descriptors, processors to bind to, and a server process of its own.
//
//  1. A process is bound before it starts, so that all its threads are, and Go's GOMAXPROCS follows.
//  2. A server that was started is ended, and its data removed, on every way out.
//
// Goroutines: two a server: one reads what it says, one keeps the thread that it was started from.
package machine
