// Package backend takes what backends ask for, over HTTP and gRPC: publishes, lists, recalls, disconnects. SPEC 7, 8, 9.
//
// Both sides are thin: they read a request, ask the one Server for it, and write what it answered. Invariants:
//
//  1. A request is refused as a whole before any of it was asked for, or each of its messages has its own result.
//  2. A message that leaves here is complete: checked, with an id, a priority, a content type, a life and a payload of
//     its own memory.
//  3. Bodies, batches, the bytes of all publishes under way and the requests of a PublishStream are bounded; at the
//     bounds a request is refused (too_large, invalid_argument, unavailable), and a PublishStream is no longer read.
//     What waits for its client, which may never go on, has half of these bytes and a bound each (room.go).
//  4. The messages of one PublishStream are asked for in the order in which they came, and answered in it.
//
// Goroutines: two a PublishStream, grpc's own, which publishes and answers, and one that reads, and outlives it by a
// moment; Drain waits for the latter, and has one itself that ends with them. That of package h2.
package backend
