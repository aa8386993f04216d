// Package pebble is the embedded store: one process, one directory, an fsync before an Append is answered.
//
// Invariants:
//
//  1. All writes pass through one queue, the committer's, in the order of the calls; each group of it is one atomic
//     write to the log. So appends of one user take effect in order, also where the caller of an earlier one gave up.
//  2. A group is synced before any durable call in it is answered nil.
//  3. A shard's epoch is checked and raised while the caller holds the queue: what is fenced is in no group.
//  4. What a caller that gave up (store.ErrUnknown) wrote counts only once its group has finished: Load waits for it.
//  5. Of one id at most one entry comes back: an append takes along the row that an unknown append of the same id left
//     (orphans), a Load deletes all but the newest.
//  6. Calls that would grow the files are refused while the disk has less left than the engine needs to flush and to
//     compact, in order of priority (space.go). On a full disk the engine retries flushes for ever, and ends the process
//     where it cannot write its log.
//  7. A row that cannot be read is an error that names it; it is never skipped, and never a panic.
//
// Goroutines: the committer; one for each read under way, at most Config.MaxReads; and the engine's own. Lock order:
// committer.mu, then any of epochs.mu, buckets.mu, orphans.mu. No lock is held across I/O.
//
// Rows (numbers big-endian, so that keys sort; a user ends with a zero byte, which no user contains):
//
//	'a' name                                    format, identity
//	'e' shard:4                                 epoch:8
//	'i' end:8 shard:4 user 0 id                 accepted ms:8     ids, in buckets that end at a time (ms)
//	'u' shard:4 user 0 'd' device               a device record
//	'u' shard:4 user 0 'm' lane epoch:8 µs:8    an entry
package pebble
