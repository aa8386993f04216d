// Package viewfile is the topology of a cluster that has no controllers: a file says who is to own what, and the claims in the store that its
// members share say who does.
//
// Invariants:
//
//  1. Who is to own each shard is a pure function of the file's text: all members that have read the same one agree.
//  2. Who owns a shard, and at which epoch, is what its claim says, whatever files say: two that differ never make two owners.
//  3. A file that cannot be read, or is wrong, changes nothing: the one before stays in force, and is told.
//
// Goroutines: one a Follower.
package viewfile
