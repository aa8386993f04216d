// Package observe has the publishers and devices of a run, which write down all that they do and see of its servers: a log for package
// judge. They need no server's counters, and know no store.
//
// A publisher owns the messages that it publishes, a device its streams; nothing is shared between them but the clock and where the
// servers are. All are put together when they have ended.
//
// Goroutines: one a publisher, one a device, one more a device of a user that sleeps at times, and those of the clients that they use.
package observe
