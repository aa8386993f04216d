// Package frontend is the side of a frontend that devices see: their streams over SSE, WebSocket, long-poll and gRPC.
//
// A Server takes connections, finds out what a device asks for and whether it is served, opens its stream at the owner of its user
// through a Router, and leaves it to package stream, which has the life of a stream. Invariants:
//
//  1. A stream has a permit of package admission, which is closed once: when the stream ends, when it is refused, or where its
//     handler writes the end (polls, HTTP/2) once that is written.
//  2. An idle stream over SSE or WebSocket on plain TCP has no goroutine, timer, channel or buffer. gRPC, HTTP/2 and polls have the
//     goroutine of their handler.
//  3. Everything that a device sends is bounded before it is decoded, and answered by SPEC: query strings and payloads
//     are never logged.
//
// Goroutines: those of packages stream, accept, sock and h2; those of net/http and grpc; one a gRPC stream while it has frames to
// send.
//
// Lock order: the stream's mutex, then one of sock's or grpcConn.mu; grpcConn.mu, then one of grpc's,
// then grpcConn.loan.
package frontend
