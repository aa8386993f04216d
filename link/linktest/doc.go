// Package linktest is the conformance suite of package link: for what carries the calls (Run), and for who answers them
// (RunGateway); and for what carries the calls and breaks (RunBreakable). Severable is a link that a test can break.
//
// Invariants:
//
//  1. Run knows nothing of users and messages: a scripted gateway stands behind the link, so that what arrives is compared
//     with what was sent, argument by argument.
//  2. Nothing is timed but failure: a test waits for what must come, and gives up after Patience.
//
// Goroutines: one a call through a Severable while it is under way; those of a test end with it.
package linktest
