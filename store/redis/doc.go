// Package redis is a store on Redis, or Valkey: one server, a master that sentinels watch, or a cluster.
//
// Invariants:
//
//  1. All keys of a shard have one hash tag, so that a script sees the shard's claim and a mailbox at once. A mailbox is one key, a hash
//     (keys.go): expiry, eviction and FLUSHALL leave none in part.
//  2. A write is a script that runs whole or not at all, and does nothing unless the shard's claim begins with the caller's token: the
//     epoch, a number that this opening of the store has drawn, and how often the server was found to have lost the claim.
//  3. An Append changes nothing unless the mailbox's last position is the one that it expects, or one of its own: then a part of it,
//     or all, was written before. So one that is late (a script of a client that has given up may run seconds later) is refused, one
//     that is written again happens once, and a server that has lost what it had answered is found out by the next Append.
//     A step that only kills does not move that position; it is remembered for 5 minutes, and done again where its owner claims the shard again.
//     A Replace that is late undoes neither such a step nor a save or forget: each of them takes away what was made to replace the mailbox.
//  4. A record of a device is written in an order that its value carries: a late write of it changes none that followed, and brings back none
//     that was removed since: the order of a removal is kept for an hour.
//  5. A call is answered ErrUnknown where its command was written to a connection and no reply came, or where the reply came and the
//     server could not say in time that the write is as durable as configured. Everything else is definite: nothing was done. A step that
//     finds that it was done before writes something all the same, since WAIT and WAITAOF wait for what the connection has written.
//  6. What is in flight to a server is bounded in number and bytes, each server and kind of call by itself: beyond it calls are refused.
//  7. All keys expire by themselves: a mailbox a minute after the last of what is in it, a claim and the identity 40 days after they were
//     made, and 10 days after all devices.
//  8. A value of an entry or a device carries a checksum. One that does not fit is told in the log and left out, and is never a message.
//  9. A claim holds where the store is still the one that was opened: who claims looks at the identity behind it, and who gives the store
//     another one looks at the claims behind that (adopt.go).
//  10. Whoever finds the identity finds the highest epoch beside it, in one slot: the keeper writes both back, the epoch first. So a process
//     that starts behind a FLUSHALL draws another identity, or goes on above all epochs that cursors of this one have.
//  11. A claim says which copy of the data has taken it. Where the server has another copy, claims that followed it may be lost, and Claims tells so:
//     whoever comes next claims above all that can have been (lostclaims.go).
//
// Goroutines: one for each pipeline under way, at most three times Config.Pipelines a server; the keeper, once a second; and the client's own.
// Lock order: Store.closeMu, then queue.mu or Store.nodesMu; Store.promiseMu by itself. No lock is held across I/O.
package redis
