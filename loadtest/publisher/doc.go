// Package publisher publishes to users at a rate, whatever the server makes of it.
//
//  1. Open loop: message i is due at start + i/rate, its payload says so, and a server that falls behind delays what follows
//     without hiding it. What could not be sent by the end is counted.
//  2. A user is published to over one stream, so that the order of its messages is known (SPEC 2.5).
//  3. A publish without an answer, or an unavailable one, is tried again with the same id (SPEC 9), and counted. What was
//     refused, or had no answer in the end, is noted in the book: nothing may be demanded of it.
//
// Goroutines: two a stream over gRPC, one over HTTP, while an order is under way; grpc-go's own.
package publisher
