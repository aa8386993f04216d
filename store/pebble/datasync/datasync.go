// Package datasync brings files to the disk without a thread that waits.
//
// A blocking fdatasync(2) holds one of the few threads that run goroutines until Go's monitor notices, and the hand-over
// to another thread and back costs more than the call: on one core it halved what the process could do. Linux can do the
// same in the background (aio, IOCB_CMD_FDSYNC, since 4.18) and report the end on a descriptor, for which a goroutine
// waits as for a socket.
//
// Invariants:
//
//  1. Sync answers nil only once the kernel has reported that everything written before the call is on the disk: of this very
//     call, whatever a failed one before it has left.
//  2. One Sync is under way at a time; the caller sees to it.
//
// Goroutines: none.
package datasync

import "errors"

// ErrUnsupported says that this system cannot do it: fdatasync has to be called.
var ErrUnsupported = errors.New("store/pebble/datasync: not supported by this system")
