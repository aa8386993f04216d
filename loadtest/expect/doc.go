// Package expect keeps what devices must get, and finds what a server did not keep of its promises.
//
//  1. Nothing accepted is missing: of each lane of a user, every number up to the last that was sent reaches every device,
//     but those that were refused or whose fate is unknown (SPEC 2.6, 9). Of one that was published again nobody knows
//     which publish counted, and so its order.
//  2. Within one stream the numbers of a lane rise (SPEC 2.5), and seqs have no gaps (SPEC 1).
//  3. A message comes twice only on a later stream, and never where the cursor of a resumed stream covers it (SPEC 2.3).
//     A device that moves reads two streams at once (SPEC 2.12), each with its own order and seqs.
//  4. In every stretch of 1.25 intervals a stream has a byte (SPEC 2.8).
//  5. What waits costs nothing: a device is a few numbers, however many messages it has had. What is exceptional (holes,
//     refusals) costs a few bytes each; violations are kept up to a bound, and counted beyond it.
//
// A Device is guarded by its owner, a Lanes by who publishes to that user; the Book has its own lock. No goroutines.
package expect
