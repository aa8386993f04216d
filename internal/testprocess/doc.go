// Package testprocess runs programs for tests: the shipped binary, and what stands beside it.
//
//  1. A process has a group of its own, and is killed with it at the end of the test that started it.
//  2. What a process writes is kept, can be waited for, and is logged where its test fails.
//
// Goroutines: one a process, which waits for its end; Kill waits for that.
package testprocess
