// Cluster measures what a cluster costs beside one process, and what its devices see of its faults:
//
//	go run ./loadtest/cluster --binary bin/ramen --only cost --rate 10000 --runs 3
//
//	cost      CPU a message of a frontend and a gateway, and of one process, in turn; with --other, of two binaries
//	memory    memory of an idle stream in a frontend and a gateway, and in one process
//	many      100,000 streams over several frontends: memory of a stream, CPU of a heartbeat and of a message
//	killed    pauses of streams while a gateway is killed
//	drained   the same while a gateway is stopped in order
//	moved     the same while an operator empties a gateway
//	frontend  a frontend is killed: how soon its devices are back, and what that takes
//
// The processes are real ones, at loopback ports, on a Redis without a log. With --bind, as in cost and memory, ours have the first processor,
// and the load and Redis the others. Every message that was accepted has to arrive, else the exit status is 1.
//
// Goroutines: one that does the fault while the load runs; package testserver has those of the processes.
package main
