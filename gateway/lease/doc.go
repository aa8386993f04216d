// Package lease has one process own all shards of a store that several may open, without a topology: the claims in the store are its lease.
//
// Invariants:
//
//  1. The gateway may act until 2.4 s after the sending of the last reading of the claims in which its own stood, and no longer. Who
//     takes from another on a store that does not fence waits that long after its claims have been answered, and loads only then.
//
//  2. Whoever has the claim of the first shard owns all: it is claimed before the others, so that of two that start at once one serves.
//
//  3. A process that starts takes all from whoever has it. One that has lost all to another waits until that is not present any more.
//
//     waiting ──nobody else is there──▶ claiming ──claimed, the older lease is over──▶ serving
//     ▲                                 │ another has claimed                          │
//     └─────────────────────────────────┴──────────────────────────────────────────────┘
//
// Goroutines: one. Locks: mu guards what others read; it is not held across I/O or a call of the gateway.
package lease
