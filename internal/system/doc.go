// Package system tests the whole product through real sockets: a server in this process on ports of its own, and devices and
// backends written by hand against SPEC, which share nothing with the clients of this repository but the frames' codec.
//
//  1. Every rule of SPEC 2 has tests named after it, over the matrix of transports and stores: sse/pebble/1.
//  2. Nothing sleeps: a test waits for a frame, or asks the server again until what it waits for holds.
//  3. Every test ends with the ledger adding up, SPEC 8.5.10, and with no goroutine left.
package system
