// Package journal is an append-only file of records that survives power cuts.
//
// The file is cut into segments, so that its older part can be let go of. A segment that was let go of is renamed and
// written over: its blocks exist, so that a write is one I/O and changes nothing of the file system's own.
//
// Invariants:
//
//  1. A record is one write, and is synced before Write answers nil. So only the last record of the last segment can be
//     torn; Open leaves it out.
//  2. Anything else that is missing or damaged is an error of Open that names the segment: a record with one behind it
//     that can be read, a segment that ends before the length that the next one says it has, a segment that is not there.
//  3. A record carries the number of its segment and its own, and its checksum begins with the owner's secret: neither what
//     a segment held in an earlier life nor what somebody put into a payload is taken for a record.
//  4. A Write needs no room on the disk where it overwrites: room is made before (Prepare, or a growing segment), and that
//     there is none is ErrNoRoom, with nothing written. Any other error of Write leaves open what is on the disk: the
//     caller must not go on.
//  5. A segment's name is on the disk before its first record is.
//
// Write and Rotate are for one goroutine, Prepare and Release for another one; the rest is for any. No goroutines of its own.
//
// A segment is the file journal-NUMBER, of records at multiples of 8 bytes (numbers little-endian):
//
//	crc:4 length:4 segment:8 number:8 payload    crc: CRC-32C of the secret, then all that follows the crc
//
// Record 0 is the segment's head, written together with record 1; its payload is
//
//	"ramenjn1" length:8 records:8                of the segment before, 0 where it is not needed any more
package journal
