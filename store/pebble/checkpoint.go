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

// A checkpoint writes what the overlay still has of the journal's oldest segments to the engine, so that these segments can be used
// again:
//
//	barrier    the buffered writes of these segments are in the journal
//	write      rows go to the engine in order of keys, portion by portion; they stay in the overlay, and hide the engine's rows
//	barrier    the writes that replaced a row meanwhile are in the journal, not only in its buffer
//	start      the row that names the first segment still needed is written; then the engine's flush syncs all rows
//	evict      the rows leave the overlay, unless a newer segment has written them again
//
// A checkpoint that was cut off at any point is repeated: by the next try, or by the next Open, from the same segments.

// portion is how many mailboxes are written at once: the overlay is locked meanwhile, and on a machine with one processor nothing
// else runs.
const portion = 64

// portionBytes is how large a batch for the engine gets before it is written; a mailbox is not divided. The batch takes memory in
// addition to the overlay.
const portionBytes = 256 * kiB

// errStopped ends a checkpoint when the store closes.
var errStopped = errors.New("the store is closing")

// checkpoint writes the rows of all segments up to upTo to the engine. barrier returns once all buffered writes are in the journal,
// or an error; pause is called between portions, and an error of it ends the checkpoint.
func (s *Store) checkpoint(upTo uint64, barrier, pause func() error) error {
	if err := barrier(); err != nil {
		return err
	}
	boxes, err := sortBoxes(s.overlay.boxesUpTo(upTo), pause)
	if err != nil {
		return err
	}
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }() // frees its memory
	for rest := boxes; len(rest) > 0; {
		n := s.overlay.write(b, rest[:min(len(rest), portion)], upTo, s.buckets.at)
		rest = rest[n:]
		if err := s.engineWrite(&b); err != nil {
			return err
		}
		if err := pause(); err != nil {
			return err
		}
	}
	s.overlay.writeClaims(b)
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
		s.overlay.evict(part, upTo)
		_ = pause() // an error does not matter any more: the engine has the rows
	}
	s.overlay.forgetSegments(upTo)
	return nil
}

// engineWrite applies b and empties it. The next flush brings it to the disk.
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

// sortBoxes sorts mailboxes by shard and user, a shard at a time, with a pause after every 16 shards.
func sortBoxes(boxes []*overlayMailbox, pause func() error) ([]*overlayMailbox, error) {
	byShard := make(map[protocol.ShardID][]*overlayMailbox)
	for _, b := range boxes {
		byShard[b.shard] = append(byShard[b.shard], b)
	}
	sorted := boxes[:0]
	for i, shard := range slices.Sorted(maps.Keys(byShard)) {
		users := byShard[shard]
		slices.SortFunc(users, func(a, b *overlayMailbox) int { return cmp.Compare(a.user, b.user) })
		sorted = append(sorted, slices.Compact(users)...)
		if i%16 == 0 {
			if err := pause(); err != nil {
				return nil, err
			}
		}
	}
	return sorted, nil
}

// boxesUpTo returns the mailboxes with rows of segments up to upTo, some of them twice.
func (o *overlay) boxesUpTo(upTo uint64) (boxes []*overlayMailbox) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for segment, touched := range o.touched {
		if segment <= upTo {
			boxes = append(boxes, touched...)
		}
	}
	return boxes
}

// write puts the rows of segments up to upTo of the first n boxes into b, until b has portionBytes. All ids of a segment go into
// the bucket of its last id, so that a repeated checkpoint writes the same rows.
func (o *overlay) write(b *engine.Batch, boxes []*overlayMailbox, upTo uint64, bucket func(ms int64) int64) (n int) {
	var key []byte
	o.mu.Lock()
	defer o.mu.Unlock()
	for n < len(boxes) && b.Len() < portionBytes {
		box := boxes[n]
		n++
		for i := range box.ids {
			if ids := &box.ids[i]; ids.segment <= upTo {
				key = appendIDKey(key[:0], bucket(o.times[ids.segment]), box.shard, box.user, ids.segment)
				_ = b.Set(key, ids.list, nil) // a batch in memory does not fail, here and below
			}
		}
		for i := range box.devices {
			d := &box.devices[i]
			if d.segment > upTo {
				continue
			}
			key = appendDeviceKey(key[:0], box.shard, box.user, d.id)
			if d.removed() {
				_ = b.Delete(key, nil)
			} else {
				_ = b.Set(key, d.value, nil)
			}
		}
		key = o.writeEntriesLocked(b, box, upTo, key)
	}
	return n
}

func (o *overlay) writeEntriesLocked(b *engine.Batch, box *overlayMailbox, upTo uint64, key []byte) []byte {
	for i := range box.tombstones {
		if m := &box.tombstones[i]; m.segment <= upTo {
			key = appendMessageKey(key[:0], box.shard, box.user, m.ref)
			_ = b.Delete(key, nil)
		}
	}
	for i := int(box.first); i < len(box.entries); i++ {
		e := &box.entries[i]
		if e.segment > upTo {
			continue
		}
		key = appendMessageKey(key[:0], box.shard, box.user, e.ref)
		_ = b.Set(key, e.value, nil)
		e.inEngine = true
		if o.engineUpTo[box.shard].Less(e.ref.Position) {
			o.engineUpTo[box.shard] = e.ref.Position
		}
	}
	return key
}

// writeClaims puts all claims into b, those of newer segments too: they are synced in the journal already.
func (o *overlay) writeClaims(b *engine.Batch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for shard, c := range o.claims {
		_ = b.Set(appendEpochKey(nil, shard), appendClaim(nil, c.FencedError), nil)
	}
}

// evict removes the rows of segments up to upTo from boxes: the engine has synced them.
func (o *overlay) evict(boxes []*overlayMailbox, upTo uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, b := range boxes {
		o.evictEntriesLocked(b, upTo)
		b.ids = slices.DeleteFunc(b.ids, func(i overlayIDs) bool {
			if i.segment <= upTo {
				o.bytes -= int64(len(i.list))
			}
			return i.segment <= upTo
		})
		b.devices = slices.DeleteFunc(b.devices, func(d overlayDevice) bool {
			if d.segment <= upTo {
				o.bytes -= deviceBytes + int64(len(d.id)+len(d.value))
			}
			return d.segment <= upTo
		})
		users := o.shards[b.shard]
		if b.empty() && users[string(b.user)] == b {
			delete(users, string(b.user))
			o.bytes -= boxBytes
			if len(users) == 0 {
				delete(o.shards, b.shard)
			}
		}
	}
}

func (o *overlay) evictEntriesLocked(b *overlayMailbox, upTo uint64) {
	live := b.entries[b.first:]
	kept := slices.DeleteFunc(live, func(e overlayEntry) bool {
		if e.segment <= upTo {
			o.bytes -= entryBytes + int64(len(e.value))
		}
		return e.segment <= upTo
	})
	b.entries = b.entries[:int(b.first)+len(kept)]
	if len(kept) == 0 {
		b.entries, b.first = nil, 0
	}
	b.tombstones = slices.DeleteFunc(b.tombstones, func(m tombstone) bool {
		if m.segment <= upTo {
			o.bytes -= tombstoneBytes
		}
		return m.segment <= upTo
	})
}

// forgetSegments removes what the overlay notes of the segments up to upTo.
func (o *overlay) forgetSegments(upTo uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.touched, func(segment uint64, _ []*overlayMailbox) bool { return segment <= upTo })
	maps.DeleteFunc(o.times, func(segment uint64, _ int64) bool { return segment <= upTo })
	o.total.Store(o.bytes)
	maps.DeleteFunc(o.claims, func(_ protocol.ShardID, c overlayClaim) bool { return c.segment <= upTo })
}

// dropBuckets deletes the ids older than the retention. If a power cut undoes that, the next Open finds the buckets again.
func (s *Store) dropBuckets() error {
	b := s.db.NewBatch()
	s.buckets.drop(b, s.nowMS())
	return errors.Join(s.engineWrite(&b), b.Close())
}

// journalStart reads the number of the first segment that is needed.
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
