// Package tcpconn has TCP connections whose reads and writes are made without telling Go's scheduler.
//
// Each call of package syscall is announced, since it might block. On a processor that was idle a moment ago that wakes the runtime's monitor
// thread, which then looks every 20 µs whether the call has blocked. Where messages are few enough that a process is idle between them, that
// thread was 15 % of the CPU of a frontend and of a gateway at 10,000 messages a second. Sockets of Go's do not block: a call on them is done, or
// says that it would block, and then the runtime's poller waits.
//
//  1. Errors, deadlines and Close are as net.TCPConn has them.
//  2. One Read and one Write are under way at a time; others wait for them.
//
// There are no goroutines. The locks are held while a call waits for the connection, which its deadline and Close end.
package tcpconn
