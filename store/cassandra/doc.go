// Package cassandra keeps mailboxes in Apache Cassandra: the store of messages that must survive machines.
//
// Invariants:
//
//  1. A step (what an Append adds and kills) is one mutation of one partition: it happens as a whole or not at all. Its place there is
//     the last position that it adds or kills, so that who reads from a position on meets every kill of what is behind that.
//  2. A bucket is in the user's index, for each priority that a step is of, and until that step is over, before the step is written.
//  3. Nothing is deleted and nothing is overwritten in table messages: rows are found by position and a number of their own, and expire.
//     So a write that takes effect late adds what its Append had, and a kill wins whichever comes first. A row outlives what is in it by
//     slack, and a kill what it kills.
//  4. Records of devices are ordered by (epoch, counter), and not by clocks: those of a newer owner win.
//  5. A write is at a quorum of the local datacentre when it is answered nil, and a read asks a quorum. An answer that is not wrapped in
//     store.ErrUnknown says that nothing was written, or will be.
//     Forgets are answered before: they are written with, or before, what else is written of their user.
//  6. Every call ends with its context. What is under way is bounded; beyond it appends are refused at once.
//  7. Every value carries a checksum. One that does not fit is an error that names it, and never a message.
//  8. A claim holds where the store is still the one that was opened: who claims looks at the identity behind it, and who gives the store
//     another one looks at the claims behind that (adopt.go).
//
// The store does not fence: who takes a shard waits until the lease of the owner before must have ended (store.Shared). Calls of an owner
// of whom this process has seen a later claim are refused.
//
// Tables (schema.go), and what their blobs are (step.go, items.go):
//
//	messages  (shard, user, epoch, slot)  micros, nonce → step         a bucket: one owner's epoch, ten minutes of positions
//	users     (shard, user)               item → value                 floor, devices, index of buckets, what is forgotten
//	claims    (shard / 64)                shard → epoch, owner, again  with a round that each claim raises, a lightweight transaction
//	owners    (owner)                     until                        with the TTL of Renew
//	meta      (name)                      value                        version, identity, the longest life of a message
//
// An expired message is counted for its devices where the mailbox is in memory, or is loaded before the row has gone: slack after it has
// expired. There is no store.ExpiryScanner, since to find users by what has expired would be to scan, or a second write a message.
//
// Goroutines: one an append under way, of which up to keptWorkers wait for the next; as many for SaveDevices, Forget and Claim, 64 a
// call at most; one a request of a read, and four a Load; one that writes forgets; those of the driver. Locks: closeMu, index.mu,
// forgets.mu, call.mu, loading.mu, each
// alone, none across I/O.
package cassandra
