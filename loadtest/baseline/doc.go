// Package baseline is a bare server: it writes the bytes that a RAMEN server writes (hello, heartbeats, a push for each publish)
// and does nothing for them. Under the same load it shows what this machine and its kernel cost by themselves.
//
// What it does not do, and what a figure beside it therefore does not hold: no store and no fsync, no mailbox (of each user the
// last message is kept, so that a storm finds something; all else that comes while there is no stream is gone), no acks and no
// window (what devices send is read and thrown away), no priorities, no expiry, no tokens, no limits, no TLS, no compression,
// no long-poll and no gRPC, no timeouts, one device a user. It trusts all its input to come from a load test on this machine.
//
//  1. One write a push, from where the publish was read; one read a turn of the loop and connection. Nothing is cheaper with
//     Go and epoll.
//  2. An idle stream is its descriptor and a struct of some 60 bytes; its user is a struct and a name.
//  3. What a socket does not take is kept up to a bound, then the stream ends.
//
// Goroutines: one, which is everything. Linux alone.
package baseline
