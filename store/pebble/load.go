package pebble

import (
	"context"
	"encoding/binary"
	"fmt"

	engine "github.com/cockroachdb/pebble/v2"

	"ramen/protocol"
	"ramen/store"
)

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, at store.Owner, user protocol.UserID) (store.Mailbox, error) {
	box, err := s.load(ctx, at, user)
	if err != nil {
		return store.Mailbox{}, fmt.Errorf("store/pebble: load user %q: %w", user, err)
	}
	return box, nil
}

func (s *Store) load(ctx context.Context, at store.Owner, user protocol.UserID) (store.Mailbox, error) {
	if err := checkUser(user); err != nil {
		return store.Mailbox{}, err
	}
	if err := s.epochs.check(at); err != nil {
		return store.Mailbox{}, err
	}
	if err := s.commits.settle(ctx); err != nil {
		return store.Mailbox{}, err
	}
	box, err := offload(ctx, &s.reads, func() (store.Mailbox, error) { return s.readMailbox(at.Shard, user) })
	if err != nil {
		return box, err
	}
	return box, s.dropDoubles(ctx, at, user, &box)
}

// readMailbox reads the rows of user, and of the buckets of ids.
func (s *Store) readMailbox(shard protocol.ShardID, user protocol.UserID) (store.Mailbox, error) {
	var box store.Mailbox
	var lower, upper []byte
	lower = appendUserPrefix(lower, shard, user)
	upper = prefixEnd(upper, lower)
	it, err := s.db.NewIter(&engine.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return box, err
	}
	err = readRows(it, &box)
	now := s.nowMS()
	for _, end := range s.buckets.live(now) {
		if err != nil {
			break
		}
		lower = appendIDPrefix(lower[:0:0], end, shard, user) // fresh memory: the iterator compares with its old bounds
		upper = prefixEnd(upper[:0:0], lower)
		it.SetBounds(lower, upper)
		err = readIDs(it, len(lower), now-s.buckets.retention, &box)
	}
	if closing := it.Close(); err == nil {
		err = closing
	}
	return box, err
}

func readRows(it *engine.Iterator, box *store.Mailbox) error {
	for ok := it.First(); ok; ok = it.Next() {
		row, err := parseUserRow(it.Key())
		if err != nil {
			return err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("key %x: %w", it.Key(), err)
		}
		if row.kind == kindDevice {
			var d store.Device
			d, err = decodeDevice(row.device, value)
			box.Devices = append(box.Devices, d)
		} else {
			var e store.Entry
			e, err = decodeEntry(row.ref, value)
			box.Entries = append(box.Entries, e)
		}
		if err != nil {
			return fmt.Errorf("key %x: %w", it.Key(), err)
		}
	}
	return it.Error()
}

// readIDs reads one bucket's ids of a user; prefix is the length of the key before the id. Older ones than sinceMS, of
// which the bucket has some at the end of its time, do not count any more.
func readIDs(it *engine.Iterator, prefix int, sinceMS int64, box *store.Mailbox) error {
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("key %x: %w", it.Key(), err)
		}
		if len(value) != 8 {
			return fmt.Errorf("key %x: value of %d bytes is no time", it.Key(), len(value))
		}
		seen := store.Seen{ID: protocol.MessageID(it.Key()[prefix:]), AcceptedMS: int64(binary.BigEndian.Uint64(value))}
		if seen.AcceptedMS >= sinceMS {
			box.Seen = append(box.Seen, seen)
		}
	}
	return it.Error()
}

// dropDoubles leaves the newest entry of each id, and deletes the rows of the others: before any later kill of the one
// that stays, since the queue is in order.
func (s *Store) dropDoubles(ctx context.Context, at store.Owner, user protocol.UserID, box *store.Mailbox) error {
	old := doubles(box)
	if len(old) == 0 {
		return nil
	}
	var fenced error
	_, err := s.commits.join(ctx, false, func(b *engine.Batch) {
		if fenced = s.epochs.check(at); fenced != nil {
			return
		}
		for _, ref := range old {
			s.rows.drop(b, at.Shard, user, ref)
		}
	})
	if err == nil {
		err = fenced
	}
	if err != nil {
		return fmt.Errorf("drop %d older entries: %w", len(old), err)
	}
	return nil
}

// doubles takes the entries out of box of whose id there is a newer one.
func doubles(box *store.Mailbox) (old []store.Ref) {
	if len(box.Entries) < 2 {
		return nil
	}
	newest := make(map[protocol.MessageID]protocol.Position, len(box.Entries))
	for i := range box.Entries {
		e := &box.Entries[i]
		if p := newest[e.Message.ID]; p.Less(e.Position) {
			newest[e.Message.ID] = e.Position
		}
	}
	if len(newest) == len(box.Entries) {
		return nil
	}
	kept := box.Entries[:0]
	for _, e := range box.Entries {
		if newest[e.Message.ID] == e.Position {
			kept = append(kept, e)
			continue
		}
		old = append(old, store.Ref{Priority: e.Message.Priority, Position: e.Position})
	}
	clear(box.Entries[len(kept):])
	box.Entries = kept
	return old
}
