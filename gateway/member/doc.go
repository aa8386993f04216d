// Package member has one gateway take part in a cluster: it registers it, takes and gives up the shards that views say, and tells what it
// has.
//
// Invariants:
//
//  1. The gateway acts until 2.4 s after the sending of the last renewal of its registration that was answered, and no longer. The
//     registration lasts 3 s from there on: so nobody is given its shards before it has stopped.
//  2. What is told of a shard (registry.Holdings) is never ahead of the gateway: it is what the gateway's own events have said.
//  3. A registration that has ended is made anew, with no shard: what was served is lost, and is given at a higher epoch.
//  4. A view is told of as acted upon only once no shard is served, or being taken, at an epoch below that at which the view gives it to another or to
//     nobody.
//
// Goroutines: one that follows views, one that tells, one for each take or release under way; and those of the registry.Session.
// Locks: mu guards what is told; it is not held across I/O or a call of the gateway.
package member
