// Package codec is how stores that keep bytes write an entry and a device: compact, and with a version in the first byte.
//
// Invariants:
//
//  1. A value has one form only: what is read is written again byte by byte the same.
//  2. What is decoded shares no memory with what it was read from.
//  3. The time by which a sweep decides (an entry's expiry, when a device was last seen) is in bytes 1 to 8, big-endian Unix ms, so
//     that it can be read alone.
//
// What a store finds its rows by (user, lane and position, a device's id) is not in the values. It starts no goroutines.
package codec
