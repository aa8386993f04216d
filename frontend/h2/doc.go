// Package h2 stands between a gRPC port and grpc. It follows the HTTP/2 frames of every connection as grpc reads and writes them,
// and ends a connection whose frames cost much and bring nothing, before grpc has made anything of them: grpc-go starts a goroutine
// a call, whether or not the call is reset in the next frame (CVE-2023-44487), and bounds none of this for a connection.
//
// A connection is known once it has shown a good token or key; until then it is unknown, and may do little. Invariants:
//
//  1. Of unknown connections there are at most Config.UnknownConnections: beyond it the oldest makes way.
//  2. The calls that a connection opens, those that it resets, and its frames that carry nothing are bounded by the second
//     (budget.go); beyond a bound it gets GOAWAY with ENHANCE_YOUR_CALM (RFC 9113 7), and ends.
//  3. The bytes of messages that have not come to their end are bounded, all connections together, as they come and not as
//     declared; at the bound the oldest of them ends, and a message that comes too slowly does too (message.go).
//  4. What grpc writes is not changed but for one number in its first SETTINGS frame, and whole frames between its frames.
//
// Goroutines: one a Guard, from its first Listener until its Close.
package h2
