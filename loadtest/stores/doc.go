// Stores measures a server on each store that there is, in turn with the embedded one: it starts the stores' servers itself (package
// testserver) and prints tables of what a message costs our process and theirs, its latencies, what loads of users cost, how long a take-over takes, devices that
// come back at once, and the latency over time while one Cassandra node of three is stopped.
//
// All servers and the load share one machine. CPU times can be compared; rates and latencies are those of a machine that does the work of
// several.
//
// Goroutines: those of packages loadtest and testserver, and one that stops and continues a node.
package main
