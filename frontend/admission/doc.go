// Package admission decides whether a new stream is served: it counts the streams of the process, how many are opened a second,
// and where that is asked for both for each source address.
//
//  1. A stream that is admitted has a Permit, which is closed once, by whoever holds it last. Closing it again does nothing.
//  2. A bound refuses new streams only: one that is open is left alone.
//  3. Memory does not grow with the addresses that ask: those without a stream are bounded.
//
// There are no goroutines. Control.mu is a leaf.
package admission
