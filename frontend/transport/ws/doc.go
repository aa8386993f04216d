// Package ws is the transport of streams over WebSockets: text frames with JSON, or binary ones with protobuf. SPEC 6.
//
// A stream takes the connection of its handshake and costs no goroutine. What the devices have sent of messages whose end has not
// come is bounded for all together (unfinished.go).
//
// Lock order: deviceStream.reading, then the stream's mutex or unfinished.mu.
package ws
