// Package judge decides from a log of what publishers and devices have seen whether a server kept its promises. It does no
// I/O and asks no clock: a log in, a report out.
//
// Every time in the log is the moment at which the observer did or saw something, so what the server did lies in an
// interval. The judge complains only where no order of events within the intervals keeps the promise:
//
//  1. A message was stored at some time from its first sending to its first `accepted` or `duplicate`. One that never had
//     such an answer may have been stored at any time from its first sending on, or never.
//  2. a is before b only where a's answer came before b was first sent.
//  3. A push was chosen after its stream was opened, and after every message that was pushed before it on the same stream was
//     first sent; and before it was received.
//  4. What died with a killed process unsaved is excused only where the contract excuses it: the acks of devices.
//  5. The answers that a publisher got to one id are those of an order of its attempts in which one was accepted, and those behind it are
//     duplicates (answers.go).
//  6. What a Span says was done excuses what it names and nothing more: acks that an owner that stopped had not saved, answers of
//     those who did not run, and, counted apart, what a store may lose as it is configured, of what it had answered for before.
package judge
