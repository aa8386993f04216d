// Package frame writes and reads the frames of a link between processes: linkpb's messages, in the words of packages link and protocol.
//
//  1. What Append writes any decoder of protobuf reads, and the other way round; tests hold both against linkpb. Fields and kinds
//     that are not known are ignored.
//  2. A payload is copied once on each side, and never looked into.
//  3. What is read aliases nothing: the bytes can be used again.
//  4. No input panics, and none allocates more than some times its own size.
//
// It is written by hand, as protocol's frames are: no reflection, and no second form of a push in memory. There are no goroutines.
package frame
