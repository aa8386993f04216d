// Package auth says who is at the other end of a connection: devices by their tokens, backends by their keys, and the
// certificates that the server itself shows.
//
// Invariants:
//
//  1. The type of a key alone decides which algorithms may be used with it; what a token's header says can only choose
//     among keys of that type. "none" is no algorithm.
//  2. A new file takes effect whole or not at all: one that cannot be read or is wrong leaves in force what was, and is
//     logged once.
//  3. What was verified with keys that are no longer in force is forgotten with them; expiry is judged at every call.
//  4. No secret, key or token is in an error, a log line or a metric. Of backends' keys only hashes are kept.
//  5. Nothing that a peer sends costs more than a bounded time and memory: tokens up to 8 KiB, at most 64 keys to try.
//
// Goroutines: one in all, in Watcher, and those of fsnotify (one).
//
// Locks: Watcher.mu is held while files are read and loaded; nothing on the path of a connection takes it.
package auth
