// Package grpc is the transport of streams over gRPC: the service Devices, on a port of its own. SPEC 7.
//
// A stream has the goroutine of its handler, which receives, and one that sends while there are frames to send: SendMsg blocks on
// flow control, and a FrameWriter may not. A third opens the stream, so that the handler keeps a small stack. Frames are encoded and
// decoded by package protocol, without reflection.
//
// Lock order: the stream's mutex, then conn.mu, then one of grpc's, then conn.poolMu.
package grpc
