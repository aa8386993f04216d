package mailbox

import (
	"fmt"

	"ramen/protocol"
)

// checkPortion is the number of entries that are recounted while a mailbox is locked, each for all its devices: publishes to the user
// wait meanwhile.
const checkPortion = 32

// Recount counts what is in a mailbox, in portions, and compares that with the mailbox's own counts, if nothing has changed between the
// first portion and the last.
type Recount struct {
	b       *Mailbox
	begun   bool
	lanes   *lanes
	changes uint64
	moved   bool // something has changed since the first portion

	lane    int
	at      protocol.Position // in lane
	live    int               // entries in all lanes so far
	dead    [protocol.Lanes]int
	tallies []tally
}

// Counts are the sums over the mailboxes that were recounted.
type Counts struct {
	Mailboxes, Devices, Online, Bytes int64
	Waiting                           [protocol.Lanes]int64
}

// NewRecount begins a recount of b.
func NewRecount(b *Mailbox) *Recount { return &Recount{b: b} }

// Portion recounts the next entries, and reports whether there are more; at the end it adds the mailbox to n.
func (c *Recount) Portion(n *Counts) (more bool, err error) {
	b := c.b
	if !c.begun {
		c.begun, c.lanes = true, b.lanes
		if b.lanes != nil {
			c.changes = b.lanes.changes
		}
	}
	c.moved = c.moved || b.lanes != c.lanes || b.lanes != nil && b.lanes.changes != c.changes
	for left := checkPortion; c.lane < protocol.Lanes; c.lane, c.at = c.lane+1, (protocol.Position{}) {
		l := b.lane(c.lane)
		for i := l.after(c.at); i < len(l.entries); i++ {
			if left--; left < 0 {
				return true, nil
			}
			if err := c.entry(l, i); err != nil {
				return false, err
			}
			c.at = l.entries[i].pos
		}
	}
	b.addTo(n)
	if c.moved {
		return false, nil
	}
	return false, c.compare()
}

// entry recounts the devices that one entry waits for.
func (c *Recount) entry(l *lane, i int) error {
	b, e := c.b, l.entries[i]
	if i > 0 && !l.entries[i-1].pos.Less(e.pos) {
		return fmt.Errorf("mailbox: lane %v of user %s is out of order at %v", protocol.LanePriority(c.lane), b.user, e.pos)
	}
	if e.dead {
		c.dead[c.lane]++
		return nil
	}
	c.live++
	n, place := int32(0), 0
	for d := b.devices; d != nil; d = d.next {
		if place == len(c.tallies) {
			c.tallies = append(c.tallies, tally{})
		}
		if e.waitsFor(d) {
			n++
			c.tallies[place].add(e.pendingFor(d))
		}
		place++
	}
	if n != e.waiting {
		return fmt.Errorf("mailbox: message %s of user %s counts %d devices that it waits for, there are %d", e.msg.ID, b.user, e.waiting, n)
	}
	return nil
}

// addTo adds the mailbox's own counts to n.
func (b *Mailbox) addTo(n *Counts) {
	n.Mailboxes++
	for i := range protocol.Lanes {
		l := b.lane(i)
		n.Waiting[i] += int64(len(l.entries) - l.dead)
	}
	n.Bytes += b.held() + b.inDoubtHeld()
	for d := b.devices; d != nil; d = d.next {
		n.Devices++
		if d.window != nil {
			n.Online++
		}
	}
}

// compare compares what was recounted with the mailbox's own counts.
func (c *Recount) compare() error {
	b, count := c.b, c.live
	for _, s := range b.inDoubt() {
		count += len(s.added)
	}
	for i, dead := range c.dead {
		if l := b.lane(i); dead != l.dead {
			return fmt.Errorf("mailbox: lane %v of user %s counts %d dead entries, it has %d", protocol.LanePriority(i), b.user, l.dead, dead)
		}
	}
	if count != int(b.count) {
		return fmt.Errorf("mailbox: user %s counts %d messages, there are %d", b.user, b.count, count)
	}
	if b.lanes == nil {
		return nil
	}
	place := 0
	for d := b.devices; d != nil; d = d.next {
		var are tally
		if place < len(c.tallies) {
			are = c.tallies[place]
		}
		if said := b.lanes.tallies[place]; said != are {
			return fmt.Errorf("mailbox: device %s of user %s counts %+v, there are %+v", d.id, b.user, said, are)
		}
		place++
	}
	if len(b.lanes.tallies) != place {
		return fmt.Errorf("mailbox: user %s has %d devices and %d tallies", b.user, place, len(b.lanes.tallies))
	}
	return nil
}
