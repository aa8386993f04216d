// Package testdisk has a disk that loses its power, for tests: a file system in which what was written and not synced is gone after a
// cut, and what was synced is there. A kill -9 never shows a missing fsync, since the system still writes what the process wrote.
//
// The disk is an ext4 file system on a loop device. Cut shuts the file system down by the call that file systems are tested with
// (FS_IOC_SHUTDOWN without a flush of its journal): from then on all writes fail, and nothing of what is only in memory is written. Restore
// mounts it again, which replays its journal as after a power cut. Its journal is committed by fsync alone, and pages are
// written by nothing else for 30 s (vm.dirty_expire_centisecs), so that a missing fsync is seen in tests that take less. What the device itself was
// told to write counts as written: a disk with a volatile cache is not shown.
//
// It takes Linux, root, mkfs.ext4 and loop devices; a test is skipped where one of them is missing.
package testdisk
