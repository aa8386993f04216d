// Package topologytest is the conformance suite of package topology (Run), and a topology that a test changes by hand
// (Settable).
//
// Goroutines: those of a test, which end with it.
package topologytest
