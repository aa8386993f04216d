// Package pebble is the embedded store: one process, one directory, an fsync before an Append is answered.
//
// A write goes into the journal (package journal), and into recent, in memory; a while later what is still there of it is put
// into the engine's tables (checkpoint.go). Most messages are acked by then, and leave no trace but the journal's.
//
//	calls ─▶ group ─▶ journal: synced ─▶ recent ─▶ answered          Load: recent over tables
//	                     │                  │
//	                     └── segment full ──┴── checkpoint ─▶ tables: flushed ─▶ the segment is used again
//
// Invariants:
//
//  1. All writes pass through one queue, the committer's, in the order of the calls; each group of it is one record of the
//     journal, or a part of one. So appends of one user take effect in order, also where the caller of an earlier one gave up,
//     and what was called earlier survives wherever what was called later does.
//  2. A group is in the journal, synced, before any durable call in it is answered nil, and before any Load sees it. A group
//     without durable calls may be seen before: it is in the buffer, and is written with the next, or after Config.LazySync.
//  3. A shard's epoch is checked and raised while the caller holds the queue: what is fenced is in no group.
//  4. What a caller that gave up (store.ErrUnknown) wrote counts only once its group has finished: Load waits for it.
//  5. Of one id at most one entry comes back: a Load deletes all but the newest, which an older release may have left.
//  6. Of a key, what recent has counts, and hides the tables' row. It leaves recent only when the tables have it on the
//     disk; until then its segment of the journal stays. An entry that goes while it is recent leaves nothing, unless the tables may
//     have its row: then a mark hides that, and deletes it with the next checkpoint.
//  7. A checkpoint, and the replay of the journal by Open, can be cut off anywhere and done again.
//  8. Calls that would grow the files are refused while the disk has less left than checkpoints, flushes and compactions
//     need, in order of priority (diskspace.go), or the journal has no room and cannot have more (journalspace.go). Where checkpoints do not
//     keep up, calls wait. The process ends where the journal cannot be written for another reason than room, or the engine
//     its manifest: what is on the disk is not known then.
//  9. A directory is made a store only where it is empty, or its making was cut off (dir.go). What has data, and lacks a part of
//     it, is refused. While a process has it, it is locked twice: by LOCK, and by itself.
//  10. A store that was set back (restored, or repaired with a loss) has another generation, and goes on at epochs beyond all that
//     may have been: no cursor that is out covers what is accepted from then on.
//  11. A row or record that cannot be read is an error that names it; it is never skipped, and never a panic.
//
// Goroutines: the committer; the checkpointer, who makes segments and checkpoints; one for each read under way, at most
// Config.MaxReads; and the engine's own. Lock order: committer.mu, then any of epochs.mu, room.mu; checkpointer.running,
// then recent.mu, then buckets.mu. No lock is held across I/O, but running, for which nobody else waits.
//
// Rows (numbers big-endian, so that keys sort; a user ends with a zero byte, which no user contains):
//
//	'a' name                                    format, identity, shards, the journal's first segment that is needed; of a
//	                                            store that was set back: its generation, and the least that epochs are above
//	'e' shard:4                                 epoch:8 owner               who claimed it last; before format 4 without owner
//	'i' end:8 shard:4 user 0 segment:8          (length id accepted ms:8)...   ids that came with a segment, in buckets that
//	                                            end at a time (ms)
//	'u' shard:4 user 0 'd' device               a device record
//	'u' shard:4 user 0 'm' lane epoch:8 µs:8    an entry
//
// A record of the journal is one or more groups, each a list of ops that begins with the time (ops.go):
//
//	't' ms:8   'u' shard:4 length user   'm' lane epoch:8 µs:8 size:4 entry   'x' lane epoch:8 µs:8
//	'd' length device size:4 record   'r' length device   'o' epoch:8 length owner count (shard:4)...
package pebble
