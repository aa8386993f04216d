package gateway

import (
	"fmt"
	"runtime"

	"ramen/protocol"
)

// checkPortion is how many entries are recounted while a mailbox is held, each for all its devices: publishes to the user wait for
// that, and with them the committer.
const checkPortion = 32

// boxCheck recounts a mailbox in portions. Its sums mean something only where nothing has changed between the first and the last.
type boxCheck struct {
	b       *mailbox
	lanes   *lanes
	changes uint64
	moved   bool // something has changed

	lane    int
	at      protocol.Position // in lane
	live    int               // in all lanes so far
	dead    [protocol.Lanes]int
	tallies []tally
}

// check recounts one mailbox and its invariants, and adds it to n.
func (b *mailbox) check(n *counts) error {
	c := &boxCheck{b: b}
	b.mu.Lock()
	c.lanes = b.lanes
	if c.lanes != nil {
		c.changes = c.lanes.changes
	}
	b.mu.Unlock()
	for more := true; more; runtime.Gosched() {
		var err error
		if more, err = c.portion(n); err != nil {
			return err
		}
	}
	return nil
}

// portion recounts the next entries, and reports whether there are more.
func (c *boxCheck) portion(n *counts) (more bool, err error) {
	b := c.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return false, nil
	}
	c.moved = c.moved || b.lanes != c.lanes || b.lanes != nil && b.lanes.changes != c.changes
	for left := checkPortion; c.lane < protocol.Lanes; c.lane, c.at = c.lane+1, (protocol.Position{}) {
		l := b.laneLocked(c.lane)
		for i := l.after(c.at); i < len(l.entries); i++ {
			if left--; left < 0 {
				return true, nil
			}
			if err := c.entryLocked(l, i); err != nil {
				return false, err
			}
			c.at = l.entries[i].pos
		}
	}
	b.countLocked(n)
	if c.moved {
		return false, nil
	}
	return false, c.compareLocked()
}

// entryLocked recounts whom one entry waits for.
func (c *boxCheck) entryLocked(l *lane, i int) error {
	b, e := c.b, l.entries[i]
	if i > 0 && !l.entries[i-1].pos.Less(e.pos) {
		return fmt.Errorf("gateway: lane %v of user %s is out of order at %v", protocol.LanePriority(c.lane), b.user, e.pos)
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
		return fmt.Errorf("gateway: message %s of user %s counts %d devices that it waits for, there are %d", e.msg.ID, b.user, e.waiting, n)
	}
	return nil
}

// countLocked adds to n what the mailbox says of itself.
func (b *mailbox) countLocked(n *counts) {
	for i := range protocol.Lanes {
		l := b.laneLocked(i)
		n.waiting[i] += int64(len(l.entries) - l.dead)
	}
	n.bytes += b.bytesLocked() + b.unsureBytesLocked()
	for d := b.devices; d != nil; d = d.next {
		n.devices++
		if d.stream != nil {
			n.streams++
		}
	}
}

// compareLocked holds what was recounted against what the mailbox says.
func (c *boxCheck) compareLocked() error {
	b, count := c.b, c.live
	for _, s := range b.unsureLocked() {
		count += len(s.added)
	}
	for i, dead := range c.dead {
		if l := b.laneLocked(i); dead != l.dead {
			return fmt.Errorf("gateway: lane %v of user %s counts %d dead entries, it has %d", protocol.LanePriority(i), b.user, l.dead, dead)
		}
	}
	if count != int(b.count) {
		return fmt.Errorf("gateway: mailbox of user %s counts %d messages, it has %d", b.user, b.count, count)
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
			return fmt.Errorf("gateway: device %s of user %s counts %+v, there are %+v", d.id, b.user, said, are)
		}
		place++
	}
	if len(b.lanes.tallies) != place {
		return fmt.Errorf("gateway: user %s has %d devices and %d tallies", b.user, place, len(b.lanes.tallies))
	}
	return nil
}
