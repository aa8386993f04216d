// Package conformance shows whether a client keeps to clients/SPEC.md: a scripted server that behaves badly, scenarios in text files, and
// a runner that plays them to a client by its adapter (README.md).
//
// A run is one scenario over one transport: a server of its own, and a client in the adapter's process. Its script has a section for each
// stream that the device is to open, and one for what the app does and is told; the sections go on side by side, each step when the one
// before it is done. A run has passed when all are through, nothing came that no step waited for, and the rules that hold in every run were kept.
//
//  1. Whatever a client does, a run ends within its limit.
//  2. A failure tells all that was said, in order, with times.
//  3. Times are lower bounds where the contract has them; upper ones have the runner's slack, since machines are busy.
//
// Goroutines: of a run those of net/http, one a stream for its steps, one for its heartbeats, one that reads it, and one for the app; of an
// adapter one that reads its events.
package conformance
