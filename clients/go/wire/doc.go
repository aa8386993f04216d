// Package wire opens and reads single RAMEN streams: one connection, frames in, acks out.
//
// It decides nothing: when to reconnect, over what, and what to process is package ramen's part. Load generators use it
// as it is. Invariants:
//
//  1. A Conn has its own connection, never one that another stream used: after a drain or a rebalance the next stream
//     must be free to land elsewhere. SPEC 2.12.6.
//  2. Next is called by one goroutine; all other methods by any.
//  3. What a peer sends is bounded: a frame at MaxFrame, an error's body at 4 KiB, a wait by its context or deadline.
//  4. Close ends a Next that is under way. After Next has returned an error the stream is over, and Close is still due.
//
// Goroutines: none of the package's own. net/http keeps two a connection, grpc-go about four.
package wire
