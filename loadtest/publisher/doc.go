// Package publisher publishes to users at a rate that does not depend on the server's answers (open loop).
//
//  1. Message i is due at start + i/rate, and its payload has that time: latency counts from it, so that a server that falls
//     behind cannot hide it. What could not be sent by the end is counted.
//  2. A user is published to over one stream, so that the order of its messages is known (SPEC 2.5.2, 7.3.1).
//  3. A publish without an answer, or with unavailable, is tried again with the same id (SPEC 9.1.4), and counted. What was
//     refused, or had no answer in the end, is noted as an exception (package expect): it need not arrive.
//
// Goroutines: two a stream over gRPC, one over HTTP, while an order is under way; grpc-go's own.
package publisher
