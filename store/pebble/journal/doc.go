// Package journal is an append-only file of records that survives power cuts.
//
// The file is cut into segments, so that its older part can be let go of. A segment that was let go of is renamed and
// written over: its blocks exist, so that a write is one I/O and changes nothing of the file system's own.
//
// Invariants:
//
//  1. A record is one write, and is synced before Write answers nil, and before the next is begun. So only the last record of
//     the last segment can be torn.
//  2. What a segment needs is on the disk before what tells of it: its name and its whole length before its head, its head before
//     the seal of the segment before, which is the last record of that one, and before it is the first that is needed.
//  3. Anything that is missing or damaged is an error of Open that names the segment, ErrDamaged: a record with one behind it that
//     can be read, a file that is shorter than it was, a segment that is not there or has another's name or content.
//  4. A record carries the number of its segment and its own, and its checksum begins with the owner's secret: neither what
//     a segment held in an earlier life nor what somebody put into a payload is taken for a record.
//  5. A Write needs no room on the disk where it overwrites: room is made before (Prepare, or a growing segment), and that
//     there is none is ErrNoRoom, with nothing written. Any other error of Write, Mark and Rotate leaves open what is on the
//     disk: the caller must not go on.
//
// What can be told from what: a record proves all before it. The last one is proven by what comes behind it: the next, a seal, the
// end at an orderly stop, a mark that the owner leaves once it has been idle for a moment (Mark), each of the last two on a page
// of its own. Damage to a proven record is refused. One that is not proven, damaged or gone, looks as a write does that was
// cut off before it was answered: it is left out. Open tells what it left out wherever anything but zeros lies there. Behind the
// page of the last record a file that is used again has its earlier life's records, with lower numbers: nothing is told of those.
//
// Write, Mark and Rotate are for one goroutine, Prepare and Release for another one; the rest is for any. No goroutines of its own.
//
// A segment is the file journal-NUMBER, of records at multiples of 8 bytes (numbers little-endian):
//
//	crc:4 length:4 segment:8 number:8 payload    crc: CRC-32C of the secret, then all that follows the crc
//
// Each write goes on to the end of its page, with zeros. Record 0 is the segment's head:
//
//	"ramenjn2" flags:8 size:8 length:8 records:8    flags: 1 exact, 2 the file had an earlier life
//
// size is how long the file is at least. Length and records are of the segment before: all there is of it where they are exact, as
// Open begins a segment; else the least, as Prepare does, and that segment has a seal once this one is used. The highest bit
// of a length marks a control record, of kind:8 value:8: g, the segment has been made value bytes long; s, the seal, with the
// size of the next segment; m, a mark; e, the end. A mark or end may begin on the page behind the last record.
//
// Segments of the store's format 2 have a head "ramenjn1" length:8 records:8, written together with record 1, and no control
// records: what those tell is not missed where Config.Lenient says so.
package journal
