// Package sock holds a device's connection: written without blocking, read without a goroutine while it is idle.
//
// A Loop serves a connection in one of two ways behind one contract: plain TCP on Linux in an epoll set, anything else (TLS, other
// systems) with a goroutine that reads. Outbox gives the same contract to a writer that blocks. Invariants of all three:
//
//  1. Bytes leave in the order of the Writes, none twice, none left out before the last one that left.
//  2. Written reports exactly the bytes that Writes have buffered, by the time nothing is buffered any more. A Write of b that
//     answers n > 0 has buffered min(len(b), n) of b. Bytes that an epoll set's socket took beyond its low-water mark
//     (lowat_linux.go) count as buffered until the socket is writable again.
//  3. Callbacks of one connection come one at a time; Closed comes once, and last. No lock that a Conn's method takes is held
//     meanwhile. They come from other goroutines than the methods' callers: a method never calls back.
//  4. A method never waits for the peer, and never uses a descriptor after it was closed, when its number may be another's.
//  5. While nothing is buffered a connection has no buffer, and in an epoll set and in an Outbox no goroutine.
//  6. What a peer can claim is bounded: memory by Config.MaxKept and one buffer of input an event, time by Flush and Linger.
//
// Who owns a descriptor: Add duplicates it and closes the net.TCPConn. The duplicate is the same socket, but the runtime's
// part (netFD, two addresses, its entry in the poller) is free again, and no write goes through its locks. It is closed in one
// place, by the poller's goroutine, under the connection's mutex; others ask for that by shutdown(2), which wakes the poller.
// A RawConn is a bare descriptor from its accept on: whoever accepted it owns it alone until Attach gives it to the Loop, so that
// there is no duplicate, no second close and one entry in one poller.
//
// The sets are level triggered: one read an event is then fair by itself, and EPOLLOUT is asked for only while something is
// buffered. A set's descriptor waits in the runtime's own poller: a poller that blocked in epoll_wait would hold its P meanwhile,
// and with one processor an echo took ten times as long so (BenchmarkEcho).
//
// Goroutines: Config.Pollers a Loop; one a connection that is not in an epoll set, one more while something is buffered for it; an
// Outbox has one while something is buffered, and one that reports its end. Loop.Close waits for all of a Loop.
//
// Lock order: none is held while another is taken, but a connection's callback lock, which only the goroutines above take,
// before anything else.
package sock
