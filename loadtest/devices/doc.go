// Package devices plays tens of thousands of devices, whose idle streams cost a few hundred bytes each.
//
//  1. On Linux, SSE and WebSocket streams without TLS are light: a descriptor in an epoll set, without a goroutine, and with a
//     buffer only while an event or frame is incomplete. All other streams (gRPC, long-poll, TLS, other systems) are wired: a
//     goroutine each, over the Go client's package wire.
//  2. A device is guarded by the lock of its shard. All devices of a user are on one shard.
//  3. Every push is checked by package expect when it is read. A stream that ends unexpectedly is opened again by SPEC 2.13.
//  4. The latency of an opening counts from when it was due, not from when this process got to it.
//
// Goroutines: one a shard; four that ack for SSE devices; one a wired stream. Close waits for all of them.
package devices
