// Ledger is a ledger by id under kill -9. It starts a real server with a data directory, publishes to it and holds devices'
// streams over every transport, kills it with SIGKILL again and again, and then judges, from what its publishers and devices
// have seen alone (package judge), whether anything that was accepted is missing, and whether anything came back that was
// replaced, recalled, expired or acked.
//
// Who observes: a publisher owns the messages that it publishes, a device its streams; nothing is shared between them
// but the clock and the addresses. All are put together when they have ended.
//
// Goroutines: one a publisher and one a device, one to wait for the server's process, and those of the clients that they use.
package main
