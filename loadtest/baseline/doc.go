// Package baseline is a bare server that writes the same bytes as a RAMEN server (hello, heartbeats, a push for each publish) and
// does nothing else. Under the same load it shows what the machine and its kernel cost by themselves: the baseline of a figure.
//
// It has no store and no fsync, no mailbox (it keeps the last message of each user for a storm, and drops what comes while there
// is no stream), no acks and no window (it reads and drops what devices send), no priorities, expiry, tokens, limits, TLS,
// compression, long-poll, gRPC or timeouts, and one device a user. It trusts its input, which comes from a load test on the same
// machine.
//
//  1. A push is one write, made where the publish was read. A turn of the loop reads each ready connection once. With Go and
//     epoll nothing is cheaper.
//  2. An idle stream is its descriptor and a struct of some 60 bytes; its user is a struct and a name.
//  3. What a socket does not take is kept up to a bound; beyond it the stream ends.
//
// Goroutines: one, which owns everything. Linux only.
package baseline
