// Package stream is one device's stream over any transport: what was pushed and is not acked, what its connection has room for,
// when it is to be written to, and when it ends.
//
// A stream is opened at the owner of its user and then pushed to by the gateway directly: a push is encoded and written to the
// connection in the gateway's call. Its life, which life.go tells:
//
//	           Start, hello written        Lost, or a newer view
//	opening ───────────────────────▶ live ───────▶ detached
//	   │                             │  ▲              │
//	   │                             │  │ reattach:    │
//	   │                             │  │ same number, │
//	   │                             │  │ acked, sent  │
//	   │                             │  └──────────────┤
//	   │ the owner refuses           │ Finish(reason)  │ Finish(reason)
//	   ▼                             ▼                 ▼
//	nothing                closed: goaway, the transport's end, link.Close, no timer, permit closed
//
// A stream that was asked to leave (drain, rebalance) is live or detached with leaving set, and is pushed to until moveMS.
//
// Invariants:
//
//  1. No call of the gateway and no timer waits for a device. What a connection does not take is buffered, bounded by the credit
//     that the gateway was given; a device that takes nothing for Config.TooSlow is cut off.
//  2. A stream is one struct under one mutex. An idle one has no goroutine, timer, channel or buffer of its own.
//  3. What a device was told is never taken back: seqs go on without a gap over re-opens, or the stream ends.
//  4. acked is the cursor of the push up to which all is acked; the ring holds the pushes behind it, up to sent.
//  5. A live stream is in the shard of its user, at the epoch of its gateway: a newer view detaches it without the gateway's word. One
//     that is detached waits there while nobody serves the shard, and costs no worker.
//  6. Credit goes back when bytes leave for the kernel: creditInFlight + creditToReturn + what the gateway may still send is
//     Config.Credit.
//
// Goroutines: one for each wheel of timers (one a poller, and one besides), one that follows views, and up to Config.Reopens while
// streams look for an owner.
//
// Locks: Stream.mu is held while the transport writes, which never blocks, and never while a link.Stream or the Opener is called.
// Stream.mu comes before the transport's locks, wheel.mu, shard.mu and clients.mu; reopener.mu is taken alone.
package stream
