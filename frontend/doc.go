// Package frontend is the side of a frontend that devices see: their streams over SSE, WebSocket, long-poll and gRPC.
//
// A stream is opened at the owner of its user through a Router, then pushed to by the gateway directly: a push is encoded and
// written to the socket in the gateway's call, and acks go back from the socket's loop. What every part keeps to:
//
//  1. No call of the gateway and no turn of the wheel waits for a device. What a socket does not take is kept, bounded by the
//     credit that the gateway has been given; a device that takes nothing for Config.TooSlow is cut off.
//  2. A stream's state is one struct under one mutex; an idle one has no goroutine, timer, channel or buffer over SSE and
//     WebSocket on plain TCP. gRPC, HTTP/2 and polls have the goroutine of their handler.
//  3. What a device has been told is never taken back: seqs go on without a gap over re-opens, or the stream ends.
//  4. Every stream that is admitted has a permit, which is closed once: by finish, by its refusal, or where its handler writes
//     the end (polls, HTTP/2) once that is written. By finish it leaves the wheel, the gauge and the gateway.
//  5. Everything that a device sends is bounded before it is decoded, and answered by SPEC: query strings and payloads
//     are never logged.
//
// Data: stream (stream.go) is the core of all transports; outlet is what a transport adds to it; wheel visits streams when
// they are due; reopens finds new owners; admission bounds how many there are.
//
// Goroutines: one for the wheel; up to Config.Reopens while streams look for an owner; a plain listener (door)
// has one that accepts, one a stream that is being opened, up to 64 that wait for the next, and one a connection whose first
// head did not come in one piece; those of net/http and grpc; one a gRPC stream while it has frames to send; those of packages
// sock and h2.
//
// Lock order: stream.mu, then one of sock's, grpcConn.mu or wheel.mu; reopens.mu and openers.mu are taken alone.
// grpcConn.mu, then one of grpc's, then grpcConn.loan.
// None is held while a link.Stream, the Router or a Receiver is called.
package frontend
