package pebble

import (
	"context"
	"fmt"

	"ramen/protocol"
	"ramen/store"
)

// dropDoubles leaves the newest entry of each id, and deletes the rows of the others: before any later kill of the one
// that stays, since the queue is in order.
func (s *Store) dropDoubles(ctx context.Context, at store.Owner, user protocol.UserID, box *store.Mailbox) error {
	old := doubles(box)
	if len(old) == 0 {
		return nil
	}
	var fenced error
	_, err := s.commits.join(ctx, lazily, func(o *ops) bool {
		if fenced = s.epochs.check(at); fenced != nil {
			return false
		}
		o.mailbox(at.Shard, user)
		for _, ref := range old {
			o.drop(ref)
		}
		return true
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
