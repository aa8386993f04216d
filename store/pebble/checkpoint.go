package pebble

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	engine "github.com/cockroachdb/pebble/v2"

	"ramen/protocol"
)

// A checkpoint gives the engine what is still recent of the journal's oldest segments, so that they can be let go of:
//
//	barrier    what those segments' calls left in the buffer is in the journal
//	write      rows, in order, portion by portion; they stay recent, and hide what is below as before
//	barrier    what took the place of a row meanwhile is in the journal too, not in the buffer alone
//	mark       the first segment that is needed from now on; then the engine's flush brings all of it to the disk
//	leave      rows leave recent, but newer ones
//
// Cut off anywhere, it is done again: by the next try, or by the next Open from the same segments.

// portion is how many mailboxes are dealt with at once: nobody else comes to recent, or to the only core, meanwhile.
const portion = 64

// portionBytes is how large a batch for the engine gets before it is written; a mailbox is not divided. It is in memory besides
// the rows that are recent.
const portionBytes = 256 * kiB

// errStopped ends a checkpoint at Close.
var errStopped = errors.New("the store is closing")

// checkpoint writes what the segments up to upTo have. barrier answers once what is buffered is in the journal, or an
// error; pause is called between portions, and its error ends the checkpoint.
func (s *Store) checkpoint(upTo uint64, barrier, pause func() error) error {
	if err := barrier(); err != nil {
		return err
	}
	boxes, err := sortBoxes(s.recent.boxesUpTo(upTo), pause)
	if err != nil {
		return err
	}
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }() // gives its memory back
	for rest := boxes; len(rest) > 0; {
		n := s.recent.write(b, rest[:min(len(rest), portion)], upTo, s.buckets.at)
		rest = rest[n:]
		if err := s.engineWrite(&b); err != nil {
			return err
		}
		if err := pause(); err != nil {
			return err
		}
	}
	s.recent.writeClaims(b)
	if err := barrier(); err != nil {
		return err
	}
	_ = b.Set(keyJournal, binary.BigEndian.AppendUint64(nil, upTo+1), nil) // a batch in memory does not fail
	if err := s.engineWrite(&b); err != nil {
		return err
	}
	if err := s.db.Flush(); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	for part := range slices.Chunk(boxes, portion) {
		s.recent.leave(part, upTo)
		_ = pause() // what the engine has may as well leave before the end
	}
	s.recent.done(upTo)
	return nil
}

// engineWrite applies b, and makes it a new one. It is on the disk with the next flush.
func (s *Store) engineWrite(b **engine.Batch) error {
	if (*b).Empty() {
		return nil
	}
	if err := s.db.Apply(*b, engine.NoSync); err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	(*b).Reset()
	return nil
}

// sortBoxes sorts by shard, then by user within each: small sorts, with a pause between.
func sortBoxes(boxes []*recentBox, pause func() error) ([]*recentBox, error) {
	byShard := make(map[protocol.ShardID][]*recentBox)
	for _, b := range boxes {
		byShard[b.shard] = append(byShard[b.shard], b)
	}
	sorted := boxes[:0]
	for i, shard := range slices.Sorted(maps.Keys(byShard)) {
		users := byShard[shard]
		slices.SortFunc(users, func(a, b *recentBox) int { return cmp.Compare(a.user, b.user) })
		sorted = append(sorted, slices.Compact(users)...)
		if i%16 == 0 {
			if err := pause(); err != nil {
				return nil, err
			}
		}
	}
	return sorted, nil
}

// boxesUpTo is the mailboxes with rows of segments up to upTo. They may be listed twice.
func (r *recent) boxesUpTo(upTo uint64) (boxes []*recentBox) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for segment, touched := range r.touched {
		if segment <= upTo {
			boxes = append(boxes, touched...)
		}
	}
	return boxes
}

// write puts the rows of boxes into b, up to a segment, until b is large enough: of the first n boxes. The bucket of a segment's ids is that of the last of them: the same
// however often the checkpoint is done.
func (r *recent) write(b *engine.Batch, boxes []*recentBox, upTo uint64, bucket func(ms int64) int64) (n int) {
	var key []byte
	r.mu.Lock()
	defer r.mu.Unlock()
	for n < len(boxes) && b.Len() < portionBytes {
		box := boxes[n]
		n++
		for i := range box.ids {
			if ids := &box.ids[i]; ids.segment <= upTo {
				key = appendIDKey(key[:0], bucket(r.times[ids.segment]), box.shard, box.user, ids.segment)
				_ = b.Set(key, ids.list, nil) // a batch in memory does not fail, here and below
			}
		}
		for i := range box.devices {
			d := &box.devices[i]
			if d.segment > upTo {
				continue
			}
			key = appendDeviceKey(key[:0], box.shard, box.user, d.id)
			if d.removed {
				_ = b.Delete(key, nil)
			} else {
				_ = b.Set(key, d.value, nil)
			}
		}
		key = r.writeEntriesLocked(b, box, upTo, key)
	}
	return n
}

func (r *recent) writeEntriesLocked(b *engine.Batch, box *recentBox, upTo uint64, key []byte) []byte {
	for i := range box.marks {
		if m := &box.marks[i]; m.segment <= upTo {
			key = appendMessageKey(key[:0], box.shard, box.user, m.ref)
			_ = b.Delete(key, nil)
		}
	}
	for i := box.first; i < len(box.entries); i++ {
		e := &box.entries[i]
		if e.segment > upTo {
			continue
		}
		key = appendMessageKey(key[:0], box.shard, box.user, e.ref)
		_ = b.Set(key, e.value, nil)
		e.below = true
		if r.below[box.shard].Less(e.ref.Position) {
			r.below[box.shard] = e.ref.Position
		}
	}
	return key
}

// writeClaims puts all claims into b: newer ones than the checkpoint's are on the disk as well.
func (r *recent) writeClaims(b *engine.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for shard, c := range r.claims {
		_ = b.Set(appendEpochKey(nil, shard), appendClaim(nil, c.FencedError), nil)
	}
}

// leave takes the rows of segments up to upTo out of boxes: the engine has them on the disk.
func (r *recent) leave(boxes []*recentBox, upTo uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range boxes {
		r.leaveEntriesLocked(b, upTo)
		b.ids = slices.DeleteFunc(b.ids, func(i recentIDs) bool {
			if i.segment <= upTo {
				r.bytes -= int64(len(i.list))
			}
			return i.segment <= upTo
		})
		b.devices = slices.DeleteFunc(b.devices, func(d recentDevice) bool {
			if d.segment <= upTo {
				r.bytes -= deviceBytes + int64(len(d.id)+len(d.value))
			}
			return d.segment <= upTo
		})
		users := r.shards[b.shard]
		if b.empty() && users[string(b.user)] == b {
			delete(users, string(b.user))
			r.bytes -= boxBytes
			if len(users) == 0 {
				delete(r.shards, b.shard)
			}
		}
	}
}

func (r *recent) leaveEntriesLocked(b *recentBox, upTo uint64) {
	live := b.entries[b.first:]
	kept := slices.DeleteFunc(live, func(e recentEntry) bool {
		if e.segment <= upTo {
			r.bytes -= entryBytes + int64(len(e.value))
		}
		return e.segment <= upTo
	})
	b.entries = b.entries[:b.first+len(kept)]
	if len(kept) == 0 {
		b.entries, b.first = nil, 0
	}
	b.marks = slices.DeleteFunc(b.marks, func(m mark) bool {
		if m.segment <= upTo {
			r.bytes -= markBytes
		}
		return m.segment <= upTo
	})
}

// done forgets the segments up to upTo.
func (r *recent) done(upTo uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.touched, func(segment uint64, _ []*recentBox) bool { return segment <= upTo })
	maps.DeleteFunc(r.times, func(segment uint64, _ int64) bool { return segment <= upTo })
	r.total.Store(r.bytes)
	maps.DeleteFunc(r.claims, func(_ protocol.ShardID, c recentClaim) bool { return c.segment <= upTo })
}

// dropBuckets deletes the ids that do not count any more. Where a power cut undoes that, the next Open finds them again.
func (s *Store) dropBuckets() error {
	b := s.db.NewBatch()
	s.buckets.drop(b, s.nowMS())
	return errors.Join(s.engineWrite(&b), b.Close())
}

// journalStart reads the first segment of the journal that is needed.
func (s *Store) journalStart() (uint64, error) {
	v, err := get(s.db, keyJournal)
	if err != nil {
		return 0, fmt.Errorf("read where the journal starts: %w", err)
	}
	if len(v) != 8 || bytes.Equal(v, make([]byte, 8)) {
		return 0, fmt.Errorf("read where the journal starts: %x is not a segment", v)
	}
	return binary.BigEndian.Uint64(v), nil
}
