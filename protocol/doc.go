// Package protocol holds the words of RAMEN: identifiers, priorities, positions, cursors, reasons, limits, messages and their encodings.
//
// It is what a device, a frontend and a gateway must agree on; SPEC.md beside this file is the normative text. Invariants:
//
//  1. The package keeps no state and starts no goroutine.
//  2. Encoders append to the caller's buffer and allocate nothing else, but to sort more than 16 keys of a map. The same
//     value is always the same bytes.
//  3. Decoders bound what they allocate by the length of their input, never panic, and keep no part of their input.
//  4. A device's frame is refused in one of two ways: *FrameError where it breaks the contract, *Error for a bad value.
//  5. The vectors in testdata are what encoders write and decoders read.
package protocol
