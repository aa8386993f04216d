// Package pebble is the embedded store: one process, one directory, an fsync before an Append is answered.
//
// A write goes into the journal (package journal) and into the overlay, in memory. A checkpoint later writes what is left of it in
// the overlay to the engine's tables (checkpoint.go). Most messages are acked before that, and never reach the engine.
//
//	calls ─▶ group ─▶ journal: synced ─▶ overlay ─▶ answered          Load: overlay over tables
//	                     │                  │
//	                     └── segment full ──┴── checkpoint ─▶ tables: flushed ─▶ the segment is used again
//
// In RocksDB's terms the journal is the log and the overlay its memtable. It has another name because the engine has memtables, too,
// which checkpoints fill (Config.MemTableBytes).
//
// Invariants:
//
//  1. All writes pass through the committer, in the order of the calls; each group is a record of the journal, or a part of
//     one. So appends of one user take effect in order, even if the caller of an earlier one gave up, and a later call does not
//     survive a crash without the earlier ones.
//  2. A group with a durable call is in the journal, synced, before the call is answered nil and before a Load sees it. A group
//     without one may be seen earlier: it is buffered, and written with the next durable group, or after Config.LazySync.
//  3. A shard's epoch is checked and raised with committer.mu held: no group has a call that was fenced.
//  4. A write whose caller gave up (store.ErrUnknown) is visible only once its group is done: Load waits for it.
//  5. Load returns at most one entry of an id. It deletes all but the newest; an older release may have left several.
//  6. A row in the overlay hides the tables' row of the same key. It leaves the overlay only once the tables have it, synced;
//     until then its segment of the journal is kept. An entry that is dropped from the overlay leaves nothing, unless the tables may
//     have its row: then it leaves a tombstone, which hides the row, and with which the next checkpoint deletes it.
//  7. A checkpoint, and the replay of the journal by Open, can be cut off anywhere and done again.
//  8. Calls that would grow the files are refused, low priority first, while the disk has less free space than checkpoints, flushes
//     and compactions need (diskspace.go), or the journal is full and the disk has no room for a segment (journalspace.go). If
//     checkpoints do not keep up, calls wait. The process ends if a write to the journal fails for another reason than lack of space,
//     or the engine cannot write its manifest: it does not know then what is on the disk.
//  9. Open makes a store only in an empty directory, or in one where making it was cut off (dir.go). It refuses a directory in which
//     some files of a store are missing. A process that uses a directory holds two locks: the file LOCK, and the directory itself.
//  10. A store that lost its newest state (restored from a backup, or repaired with a loss) gets another generation, and goes on at
//     epochs above all that it may have had: no cursor that a device holds covers a message accepted from then on.
//  11. A row or record that cannot be read is an error that names it; it is never skipped, and never a panic.
//
// Goroutines: the committer; the checkpointer, who makes segments and checkpoints; one for each read under way, at most
// Config.MaxReads; and the engine's own. Lock order: committer.mu, then any of epochs.mu, journalSpace.mu; checkpointer.running,
// then overlay.mu, then buckets.mu. No lock is held across I/O but running, which only runOnce takes.
//
// Rows (numbers big-endian, so that keys sort; a user ends with a zero byte, which no user contains):
//
//	'a' name                                    format, identity, shards, the journal's first segment that is needed; of a
//	                                            store that was set back: its generation, and the least that epochs are above;
//	                                            of one that goes on for another: that one's generation and cursor key
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
