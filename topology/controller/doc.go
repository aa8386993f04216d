// Package controller computes who owns which shard in a cluster, and has members follow.
//
// What it knows is in a registry (package registry): who is there, what each says of its shards, what operators want, and the view. One of
// the controllers is elected; it alone writes views, each on condition that it is still elected and that the view is the one that it
// computed from. Views are computed by pure functions: package assign says where each shard is to be, Step what the next view is.
//
// Invariants:
//
//  1. A shard is given to another member only when its owner has said that it holds it no more, or the owner's registration has ended: then its
//     lease has ended too, since an owner stops before its registration can end (gateway/member).
//  2. Every owner of a shard has a higher epoch than the one before, and than any that a member's store was known to have.
//  3. A first view is computed only after every owner of a registry that was lost before must have stopped.
//  4. Where a registry was restored from a backup, leases live again, and views do not name who was given shards behind it. As soon as a member tells what
//     it had seen, nobody owns any shard from before; it is given once every registered gateway has acted upon a view that says so, and not before the
//     registration of anybody else has ended. What the controller gives before a member has told it, the store alone defends.
//  5. At most so many shards as configured are on their way from an owner that serves to another. Shards without an owner wait for nobody.
package controller
