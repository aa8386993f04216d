package pebble

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	engine "github.com/cockroachdb/pebble/v2"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/codec"
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
	if err := s.commits.awaitAbandoned(ctx); err != nil {
		return store.Mailbox{}, err
	}
	box, err := offload(ctx, &s.reads, func() (store.Mailbox, error) { return s.readMailbox(at.Shard, user) })
	if err != nil {
		return box, err
	}
	return box, s.dropDoubles(ctx, at, user, &box)
}

// readMailbox merges what the overlay has of user with the engine's rows that it does not hide.
func (s *Store) readMailbox(shard protocol.ShardID, user protocol.UserID) (store.Mailbox, error) {
	var box store.Mailbox
	lower := appendUserPrefix(nil, shard, user)
	newer, it, err := s.view(shard, user, lower)
	if err != nil {
		return box, err
	}
	err = readRows(it, &newer, &box)
	since := s.nowMS() - s.buckets.retention
	for _, end := range s.buckets.live(since + s.buckets.retention) {
		if err != nil {
			break
		}
		lower = appendIDPrefix(lower[:0:0], end, shard, user) // fresh memory: the iterator compares with its old bounds
		it.SetBounds(lower, prefixEnd(nil, lower))
		err = readIDRows(it, since, &box)
	}
	if closing := it.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = newer.addTo(&box, since)
	}
	return box, err
}

// view returns what the overlay has of user, and an iterator over the engine's rows, both of one moment: rows that a checkpoint moves
// meanwhile are in one of them at least.
func (s *Store) view(shard protocol.ShardID, user protocol.UserID, lower []byte) (overlayMailbox, *engine.Iterator, error) {
	upper := prefixEnd(nil, lower)
	s.overlay.mu.Lock()
	defer s.overlay.mu.Unlock()
	it, err := s.db.NewIter(&engine.IterOptions{LowerBound: lower, UpperBound: upper}) // reads nothing yet
	return s.overlay.viewLocked(shard, user), it, err
}

// readRows reads the rows that newer does not hide.
func readRows(it *engine.Iterator, newer *overlayMailbox, box *store.Mailbox) error {
	for ok := it.First(); ok; ok = it.Next() {
		row, err := parseUserRow(it.Key())
		if err != nil {
			return err
		}
		if newer.hides(&row) {
			continue
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("key %x: %w", it.Key(), err)
		}
		if row.kind == kindDevice {
			var d store.Device
			d, err = codec.DecodeDevice(row.device, value)
			box.Devices = append(box.Devices, d)
		} else {
			var e store.Entry
			e, err = codec.DecodeEntry(row.ref, value)
			box.Entries = append(box.Entries, e)
		}
		if err != nil {
			return fmt.Errorf("key %x: %w", it.Key(), err)
		}
	}
	return it.Error()
}

// hides reports whether b has a newer version of the row, or a tombstone for it.
func (b *overlayMailbox) hides(row *userRow) bool {
	if row.kind == kindDevice {
		return b.device(row.device) != nil
	}
	if _, buried := b.findTombstone(row.ref); buried {
		return true
	}
	_, ok := b.find(row.ref)
	return ok
}

// addTo adds what b has to box, and sorts box.
func (b *overlayMailbox) addTo(box *store.Mailbox, sinceMS int64) error {
	for i := range b.devices {
		d := &b.devices[i]
		if d.removed() {
			continue
		}
		device, err := codec.DecodeDevice([]byte(d.id), d.value)
		if err != nil {
			return fmt.Errorf("device %q, in memory: %w", d.id, err)
		}
		box.Devices = append(box.Devices, device)
	}
	for i := range b.entries {
		e, err := codec.DecodeEntry(b.entries[i].ref, b.entries[i].value)
		if err != nil {
			return fmt.Errorf("entry %+v, in memory: %w", b.entries[i].ref, err)
		}
		box.Entries = append(box.Entries, e)
	}
	for _, ids := range b.ids {
		var err error
		if box.Seen, err = readIDs(ids.list, sinceMS, box.Seen); err != nil {
			return fmt.Errorf("ids, in memory: %w", err)
		}
	}
	if len(b.devices) > 0 {
		slices.SortFunc(box.Devices, func(x, y store.Device) int { return cmp.Compare(x.ID, y.ID) })
	}
	if len(b.entries) > 0 {
		slices.SortFunc(box.Entries, func(x, y store.Entry) int {
			return cmp.Or(int(x.Message.Priority)-int(y.Message.Priority), x.Position.Compare(y.Position))
		})
	}
	box.Seen = newestSeen(box.Seen)
	return nil
}

// newestSeen removes duplicate ids, which come from appends that were written again.
func newestSeen(seen []store.Seen) []store.Seen {
	slices.SortFunc(seen, func(x, y store.Seen) int {
		return cmp.Or(cmp.Compare(x.ID, y.ID), cmp.Compare(y.AcceptedMS, x.AcceptedMS))
	})
	return slices.CompactFunc(seen, func(x, y store.Seen) bool { return x.ID == y.ID })
}

// readIDRows reads the user's ids in one bucket, and leaves out those accepted before sinceMS.
func readIDRows(it *engine.Iterator, sinceMS int64, box *store.Mailbox) error {
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err == nil {
			box.Seen, err = readIDs(value, sinceMS, box.Seen)
		}
		if err != nil {
			return fmt.Errorf("key %x: %w", it.Key(), err)
		}
	}
	return it.Error()
}
