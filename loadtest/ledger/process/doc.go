// Package process runs ramen serve for load tests that kill it: one server, which can be killed, paused, stopped and started again at the
// same ports, on the same data or without it.
//
// Goroutines: one a running process, which waits for its end.
package process
