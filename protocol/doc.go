// Package protocol holds the words of RAMEN: identifiers, priorities, positions, cursors, reasons, limits, messages and their encodings.
//
// It is what a device, a frontend and a gateway must agree on; SPEC.md beside this file is the normative text. Invariants:
//
//  1. The package keeps no state and starts no goroutine.
//  2. Encoders append to the caller's buffer and allocate nothing else.
//  3. Decoders bound what they allocate by the length of their input, and never panic.
package protocol
