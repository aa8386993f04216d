// Package devices is devices by the ten thousand: streams that cost a few hundred bytes each while they are idle.
//
//  1. On Linux, SSE and WebSocket streams without TLS are light: a descriptor in an epoll set, a request head written by hand,
//     a parser that keeps bytes only of what is incomplete. Everything else (gRPC, long-poll, TLS, other systems) is a
//     goroutine each over the Go client's wire code.
//  2. Everything of a device belongs to its shard and is guarded by the shard's lock. All devices of a user are on one shard.
//  3. What a device reads goes to package expect at once; a stream that ends unasked is opened again by SPEC 2.13.
//  4. The time of an opening counts from when it was due, not from when there was time for it.
//
// Goroutines: one a shard; four that ack for SSE devices; one a stream that is not light. Close waits for all of them.
package devices
