// Package gateway owns shards of users: their mailboxes, devices, streams and windows.
//
// A user's messages are stored once, in three lanes of a mailbox; a device is a cursor over them. Invariants:
//
//  1. Nothing is answered accepted, or put in a lane, before the store has it durably.
//  2. Positions of one user only grow: an entry is appended behind everything that any device may have acked.
//  3. An entry leaves its lane only when every known device that it is for has acked it, or it expired, was collapsed or
//     was recalled; the ledger counts each once.
//  4. What a device has acked never moves back. What was merely pushed is not acked.
//  5. A device has at most one stream, the one with the highest number.
//  6. A mailbox belongs to one ownership of its shard. Once that is given up nothing in it changes: what is under way
//     is answered ErrNotOwner or ErrLost.
//  7. Of one key and target the newest position alone lives, after a load too: what was replaced does not come back
//     (replaced.go).
//  8. Whoever touches a mailbox holds a pin on it, and only a mailbox without pins leaves memory.
//
// Locks: a shard's mu guards its map of mailboxes and their pins; a mailbox's mu guards the rest of it, its devices and
// their streams. Order: mailbox.mu, then any of shard.mu, stalls.mu, saver.mu; no two of one kind at once. None is held
// across I/O or a call of a Receiver. Before all of them, and across I/O: saver.order, then mailbox.saving, which only
// opens of new devices and opens that tell of losses wait for.
//
// Goroutines: one a committer, one saver, one sweeper, one lapser where the store is a store.Lapser. None a user, a device or a stream.
package gateway
