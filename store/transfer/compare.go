package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"ramen/protocol"
	"ramen/store"
)

// ErrDiffers is the answer where the target is not as the source after all.
var ErrDiffers = errors.New("the target differs from the source")

// manyDifferences is how many of them are told one by one.
const manyDifferences = 10

// differences are what the comparison has found.
type differences struct {
	mu    sync.Mutex
	n     int
	first []string
}

func (d *differences) add(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n++; d.n <= manyDifferences {
		d.first = append(d.first, fmt.Sprintf(format, args...))
	}
}

func (d *differences) err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n == 0 {
		return nil
	}
	err := fmt.Errorf("%w in %d places; copy again", ErrDiffers, d.n)
	for _, text := range d.first {
		err = errors.Join(err, errors.New(text))
	}
	return err
}

// compareUser reads a user from both stores, counts what there is, and notes what the target has not.
func (c *copier) compareUser(ctx context.Context, u store.ShardUser) error {
	from, to, err := c.loadBoth(ctx, store.Owner{Shard: u.Shard, Epoch: c.epoch}, u.User)
	if err != nil {
		return err
	}
	c.users.Add(1)
	c.compareEntries(u.User, &from, &to)
	c.compareIDs(u.User, &from, &to)
	c.compareDevices(u.User, &from, &to)
	return nil
}

func (c *copier) compareEntries(user protocol.UserID, from, to *store.Mailbox) {
	byID := make(map[protocol.MessageID]*store.Entry, len(to.Entries))
	for i := range to.Entries {
		byID[to.Entries[i].Message.ID] = &to.Entries[i]
	}
	seen := seenIn(to)
	now := c.Now().UnixMilli()
	for i := range from.Entries {
		e := &from.Entries[i]
		has := byID[e.Message.ID]
		_, known := seen[e.Message.ID]
		switch {
		case has == nil && known && !c.same: // the target has had it, and is done with it
			c.messages.Add(1)
		case has == nil && e.Message.ExpiresMS <= now: // a store may drop those by itself
			c.expired.Add(1)
		case has == nil:
			c.different.add("user %q: message %q is missing", user, e.Message.ID)
		case c.same && has.Position != e.Position:
			c.different.add("user %q: message %q is at position %+v, not %+v", user, e.Message.ID, has.Position, e.Position)
		case c.same && !sameEntry(has, e):
			c.different.add("user %q: message %q is another", user, e.Message.ID)
		default:
			c.messages.Add(1)
		}
	}
	if c.same && len(to.Entries) > len(from.Entries) {
		c.different.add("user %q: %d messages, not %d", user, len(to.Entries), len(from.Entries))
	}
}

func (c *copier) compareIDs(user protocol.UserID, from, to *store.Mailbox) {
	seen := seenIn(to)
	for _, e := range to.Entries { // a store may remember it from a later write on, such as that of an earlier copy
		seen[e.Message.ID] = whileItLives
	}
	since := c.Now().Add(-c.Retention).UnixMilli()
	for _, s := range from.Seen {
		switch ms, ok := seen[s.ID]; {
		case ok && ms >= s.AcceptedMS:
			c.ids.Add(1)
		case s.AcceptedMS < since: // it counts no more
		default:
			c.different.add("user %q: the id %q is not remembered", user, s.ID)
		}
	}
}

func (c *copier) compareDevices(user protocol.UserID, from, to *store.Mailbox) {
	devices := byDevice(to)
	for i := range from.Devices {
		d := &from.Devices[i]
		has, ok := devices[d.ID]
		switch {
		case !ok:
			c.different.add("user %q: device %q is missing", user, d.ID)
		case c.same && !sameDevice(&has, d):
			c.different.add("user %q: device %q is at another place", user, d.ID)
		default:
			c.devices.Add(1)
		}
	}
	if c.same && len(devices) > len(from.Devices) {
		c.different.add("user %q: %d devices, not %d", user, len(devices), len(from.Devices))
	}
}
