// Package memory is a store for tests: a Disk that outlives the Stores opened on it, and scripted trouble.
//
// Invariants:
//
//  1. A Disk changes under its one lock; each element of an Append is one step.
//
//  2. What a Disk holds shares no memory with what callers gave or get.
//
//  3. A Store that was closed changes its Disk no more, so that a test kills a gateway by closing its Store.
//
//  4. A Store is a process's own; a Shared is of a Disk that several open, and that may be set back to a Replica.
//
// Goroutines: while there is a script, one for each element of an Append until it is answered. None else.
package memory
