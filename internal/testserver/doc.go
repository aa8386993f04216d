// Package testserver runs servers that are not ours for tests and load tests: real ones, each in a folder of its own, that can be
// stopped, killed, paused and started again at the same place. Its packages say which: redistest, cassandratest.
//
//  1. A server ends with its test and, on Linux, at the latest with the process that started it, however that ended.
//  2. A folder goes with its server. What a killed process left is removed by the next one that makes a folder.
//  3. What a server writes goes to a file in its folder, and the end of it is logged where a test fails.
//
// Goroutines: one a running process, which waits for its end.
package testserver
