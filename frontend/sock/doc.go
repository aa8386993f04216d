// Package sock holds a device's connection: written without blocking, read without a goroutine while it is idle.
//
// A Loop has two ways of serving a connection behind one contract: plain TCP on Linux in epoll sets, anything else (TLS, other
// systems) with a goroutine that reads. Outbox gives the same contract to a blocking writer. What all three guarantee:
//
//  1. Bytes leave in the order of the Writes, none twice, none left out before the last one that left.
//  2. What Writes have kept is, by the time nothing is kept any more, exactly what Written has reported. A Write of b that
//     answers kept has itself kept min(len(b), kept). What an epoll set's socket has taken without having room left (room_linux.go)
//     is kept too, until it has.
//  3. Callbacks of one connection come one at a time, Closed comes once and last, and no lock that a Conn's method takes is
//     held meanwhile. They come from other goroutines than the methods' callers: a method never calls back.
//  4. A method never waits for the peer, and never touches a descriptor after it was closed, when its number may be a stranger's.
//  5. While nothing is kept a connection has no buffer, and in an epoll set and in an Outbox no goroutine.
//  6. Memory and time that a peer can claim are bounded: Config.MaxKept, Flush and Linger, one buffer of input an event.
//
// How the descriptor is owned: Add duplicates it and closes the net.TCPConn. The duplicate is the same socket, but the runtime's
// part (netFD, two addresses, its entry in the poller) is free again, and no write goes through its locks. It is closed in one
// place, by the poller's goroutine, under the connection's mutex; others ask for that by shutdown(2), which wakes the poller.
// A RawConn is a bare descriptor from its accept on: whoever accepted it owns it alone until Attach gives it to the Loop, so that
// there is no duplicate, no second close and one entry in one poller.
// The sets are level triggered: a read an event is then fair by itself, and EPOLLOUT is asked for only while something is kept.
// A set's descriptor waits in the runtime's own poller: a poller that blocked in epoll_wait would hold its P meanwhile, and
// with one processor an echo took ten times as long so (BenchmarkEcho).
//
// Goroutines: Config.Pollers a Loop; one a connection that is not in an epoll set, one more while something is kept for it; an
// Outbox has one while something is kept, and one that reports its end. Loop.Close waits for all of a Loop.
//
// Lock order: none is held while another is taken, but a connection's callback lock, which only the goroutines above take,
// before anything else.
package sock
