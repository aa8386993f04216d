// Package route finds the gateway that owns a user, and asks it.
//
// A frontend's view of the topology is always a little old: a gateway that has lost a shard says ErrNotOwner, a link
// that breaks says ErrLost. The Router waits for a newer view, or a short jittered pause, and asks again, until the
// deadline. Invariants:
//
//  1. A message is asked for again only where it was not stored (ErrNotOwner, ErrNotSent) or nobody knows (ErrLost), and then with
//     the same id, so that the owner tells a repeat.
//  2. Messages of one user are asked for in the order of the batch: one shard's are always in one call.
//  3. A group of messages that waits for its owner holds up no other group.
//  4. Nobody is asked about a shard below the epoch at which a gateway has said that it is served now (link.Loss.Below): a moved
//     shard is not asked for at its old owner, though the view still names that one.
//  5. Every error that leaves is a *protocol.Error, link.ErrSuperseded, or the error of the caller's own context.
//
// Goroutines: one a gateway that a batch has messages for, beyond the first; the call waits for all of them.
package route
