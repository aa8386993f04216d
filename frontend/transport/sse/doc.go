// Package sse is the transport of streams over server-sent events. SPEC 5.
//
// Over HTTP/1 a stream takes the connection that its request came on and costs no goroutine. The answer to HTTP/1.1 is in chunked
// coding, a chunk an event, and that to HTTP/1.0 ends with the connection. Over HTTP/2 the handler waits for the stream's end, and
// what waits to be written has a goroutine.
package sse
