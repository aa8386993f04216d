// Package frontend is the side of a frontend that devices see: the server that puts its parts together.
//
//	listener ── accept ──▶ transport/{sse,ws,poll,grpc} ──▶ stream ──▶ Router: the owner of the user
//	                           │ admission: is it served?
//	                           │ request: what is asked for, and who asks?
//
// A connection comes in through package accept, net/http or grpc. Its transport admits the request, reads it, opens its stream at the
// owner of the user, and starts it; from then on package stream has its life. This package has the configuration, the paths, what web
// pages may do, readiness, drain and close. Invariants:
//
//  1. A stream has a permit of package admission, which is closed once: when the stream ends, when it is refused, or where its
//     handler writes the end (polls, HTTP/2) once that is written.
//  2. An idle stream over SSE or WebSocket on plain TCP has no goroutine, timer, channel or buffer. gRPC, HTTP/2 and polls have the
//     goroutine of their handler.
//  3. Everything that a device sends is bounded before it is decoded, and answered by SPEC: query strings and payloads
//     are never logged.
//
// Goroutines: those of packages stream, accept, sock, h2 and transport/grpc; those of net/http and grpc.
//
// Lock order: a transport's own lock, if any, then the stream's mutex, then one of package sock's or transport/grpc's, or a wheel's.
package frontend
