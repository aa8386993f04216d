// Package gateway owns shards of users: it keeps their mailboxes in memory, has the store write what changes in them, and delivers
// to their streams. What a message goes through is in package mailbox.
//
// Invariants, beside those of package mailbox:
//
//  1. Nothing is answered accepted, or put in a lane, before the store has it durably.
//  2. A device has at most one stream, the one with the highest number.
//  3. A mailbox belongs to one ownership of its shard, and is touched only while the shard is served and the lease holds: all comes
//     through ownership.gate. Once the ownership is over nothing in it changes: what is under way is answered ErrNotOwner or ErrLost.
//  4. Whoever touches a mailbox holds a pin on it, and only a mailbox without pins leaves memory.
//  5. One function, shard.move, changes the state of a shard, and tells it (life.go). A release waits for the writes of its own shards
//     alone (beginWrite, endWrite).
//  6. What a store has lost after it had answered is written again from memory, and what somebody else has written there is never
//     overwritten (mend.go, recover.go).
//
// Locks: a shard's mu guards its map of boxes and their pins; a box's mu guards its mailbox, with devices and windows, and its streams.
// Order: box.mu, then any of shard.mu, ackDeadlines.mu, writeBehind.mu; again.mu, then shard.mu; a job's mu by itself; no two of one kind at
// once. None is held across I/O or a call of a Receiver. Before all of them, and across I/O: box.saving (savelock.go), for
// which only opens of new devices, opens that tell of losses and those who mend wait, until their deadline; the write-behind holds several, and
// waits for none.
//
// Goroutines: one for the write-behind, one sweeper, one for expiry scans where the store is a store.ExpiryScanner, one more while
// mailboxes are written or probed without a publish (again.go), and one for each that the store has to be given again (mend.go), of which
// 64 work at a time. None a user, a device or a stream. What is published is written by its publisher's goroutine (commit.go).
package gateway
