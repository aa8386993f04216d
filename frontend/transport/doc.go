// Package transport is what the transports of streams share: sse, ws, grpc and poll, below it, each a frame writer and its handshake.
//
// A transport admits a request (package admission), reads it (request), opens its stream at the owner and starts it (stream), and
// from then on passes on what its connection says. ByteConn is the frame writer of those that write bytes to a connection.
//
//  1. A connection has no buffer of its own: frames are encoded into pooled ones, and the connection copies what it cannot write.
//  2. All of ByteConn is called under its stream's mutex.
//
// There are no goroutines.
package transport
