// Package mailbox keeps the messages of one user between acceptance and last ack: a mailbox with its lanes, devices, cursors and windows.
//
// A user's messages are stored once, in three lanes; a device is a cursor over them. Invariants:
//
//  1. Positions of one user only grow: an entry is appended behind everything that any device may have acked.
//  2. An entry leaves its lane only when every known device that it is for has acked it, or it expired, was collapsed or
//     was recalled; the ledger counts each once.
//  3. What a device has acked never moves back. What was merely pushed is not acked.
//  4. A device has at most one stream, and so one window.
//  5. Of the messages with one collapse key and target only the newest is alive; those it has replaced do not come back after a load
//     (collapse.go).
//  6. A write of unknown outcome is written again, the same entries at the same positions, before anything else is written (step.go).
//
// The package is pure: it does no I/O, reads no clock and calls no other package's objects. Callers pass the time. After a change they ask
// what they have to do: Notices, DueMS, TakeDirty, Window.Full.
//
// Goroutines: none. Locks: none; the caller holds one of its own around each call to a mailbox, its devices, windows and steps. Common
// is safe for concurrent use.
package mailbox
