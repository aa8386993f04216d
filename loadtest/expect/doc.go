// Package expect knows which messages every device must get, and reports each promise that a server does not keep.
//
//  1. Nothing accepted is missing (SPEC 2.6.1, 9.1.1): in each lane of a user, every number up to the last that was sent reaches
//     every device, except messages that were refused or had no answer. A message that was published again may come in any
//     order, since it is not known which of its publishes counted.
//  2. Within one stream the numbers of a lane rise (SPEC 2.5.2), and seqs have no gaps (SPEC 1.2.8).
//  3. A message comes twice only on a later stream, and never where the cursor of a resumed stream covers it (SPEC 2.3.3).
//     A device that moves reads two streams at once (SPEC 2.12.6), each with its own order and seqs.
//  4. In every stretch of 1.25 intervals a stream has a byte (SPEC 2.8.2).
//  5. A device is a few numbers, however many messages it has received. Holes and exceptions cost a few bytes each;
//     violations are kept up to a bound, and counted beyond it.
//
// A Device is guarded by its owner, a Lanes by the publisher of its user; Expectations has its own lock. No goroutines.
package expect
