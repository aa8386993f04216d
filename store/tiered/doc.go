// Package tiered is a store that is made of two: the truth, which has every message, and a cache of whole mailboxes before it, from
// which a gateway that takes shards over loads its users without a stampede on the truth.
//
// Invariants:
//
//  1. What is accepted is in the truth. The cache can lose all it has, hang, or lie about its past: no message is lost, and no publish
//     refused.
//  2. A cached mailbox is whole or absent: it is put there as it was read from the truth, and each write that follows is compared with
//     its last position. In doubt it is absent.
//  3. The truth keeps a mark a shard: the generation of the cached mailboxes that may be trusted, and the history of the cache then.
//     The names of cached mailboxes begin with their generation, so that a late write of an older one is of another mailbox.
//  4. A write is answered nil once the truth has it, and the cache has it too, or has no mailbox of that user, or the generation was
//     revoked in the truth. So whoever reads the mark after that answer finds in the cache what was answered, or no reason to look there.
//  5. A mailbox from the cache counts only if the history of the cache, read after it, is that of the mark: a replica that was promoted
//     may lack the last of what was answered.
//  6. While its generation is revoked a shard does without the cache. Once the cache is well, the next generation begins, empty.
//  7. A mailbox above Config.MailboxBytes is not cached: it would hold up the cache for all others.
//  8. A user's mailbox is read from the truth once, however many ask, and Config.Loads are read at a time.
//
// The life of a shard's cache:
//
//	        Load, first        trusted mark
//	unknown ───────────▶ opening ─────────▶ trusted ──any doubt──▶ revoking ──written──▶ off
//	                        │ none             ▲                                          │
//	                        └──▶ off           └───────────── starting ◀── cache is well ─┘
//
// Goroutines: one that begins generations, one for each revocation and each reading of histories under way. Locks: shard.mu and
// histories.mu, never two at once, and none across I/O or a call of answer.
package tiered
