package gateway

import (
	"fmt"
	"sync/atomic"

	"ramen/protocol"
)

// ledger counts every message in and out of memory. At any quiet moment
// accepted + loaded = acked + expired + collapsed + recalled + unloaded + waiting. PROTOCOL 8.
type ledger struct {
	accepted, loaded, unloaded atomic.Uint64
	ended                      [fates]atomic.Uint64
	waiting                    [protocol.Lanes]atomic.Int64
}

// Check recounts what the gauges say against the mailboxes. It is exact only while nothing is under way.
func (g *Gateway) Check() error {
	var boxes, devices, streams, bytes int64
	var waiting [protocol.Lanes]int64
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		list := make([]*mailbox, 0, len(s.mailboxes))
		for _, b := range s.mailboxes {
			if b.loading == nil {
				b.pins++
				list = append(list, b)
			}
		}
		s.mu.Unlock()
		for _, b := range list {
			err := b.check(&waiting, &devices, &streams, &bytes)
			g.releaseSwept(b)
			if err != nil {
				return err
			}
			boxes++
		}
	}
	return g.compare(boxes, devices, streams, bytes, waiting)
}

func (g *Gateway) compare(boxes, devices, streams, bytes int64, waiting [protocol.Lanes]int64) error {
	var sum int64
	for i := range waiting {
		if n := g.ledger.waiting[i].Load(); n != waiting[i] {
			return fmt.Errorf("gateway: ledger says %d messages of priority %v wait, the lanes hold %d", n, protocol.LanePriority(i), waiting[i])
		}
		sum += waiting[i]
	}
	for _, c := range []struct {
		what      string
		said, are int64
	}{
		{"mailboxes", g.boxes.Load(), boxes}, {"devices", g.devices.Load(), devices},
		{"streams", g.streams.Load(), streams}, {"bytes in memory", g.memory.Load(), bytes},
	} {
		if c.said != c.are {
			return fmt.Errorf("gateway: gauge says %d %s, there are %d", c.said, c.what, c.are)
		}
	}
	l := &g.ledger
	in := l.accepted.Load() + l.loaded.Load()
	out := l.unloaded.Load() + uint64(sum)
	for i := range l.ended {
		out += l.ended[i].Load()
	}
	if in != out {
		return fmt.Errorf("gateway: ledger does not add up: %d messages came in, %d left or wait", in, out)
	}
	return nil
}

// check recounts one mailbox and its invariants.
func (b *mailbox) check(waiting *[protocol.Lanes]int64, devices, streams, bytes *int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	count := 0
	for _, s := range b.unsureLocked() {
		count += len(s.added)
	}
	for i := range protocol.Lanes {
		l, dead := b.laneLocked(i), 0
		for j, e := range l.entries {
			if j > 0 && !l.entries[j-1].pos.Less(e.pos) {
				return fmt.Errorf("gateway: lane %v of user %s is out of order at %v", protocol.LanePriority(i), b.user, e.pos)
			}
			if e.dead {
				dead++
				continue
			}
			waiting[i]++
			count++
			if err := b.checkEntry(e); err != nil {
				return err
			}
		}
		if dead != l.dead {
			return fmt.Errorf("gateway: lane %v of user %s counts %d dead entries, it has %d", protocol.LanePriority(i), b.user, l.dead, dead)
		}
	}
	if count != int(b.count) {
		return fmt.Errorf("gateway: mailbox of user %s counts %d messages, it has %d", b.user, b.count, count)
	}
	*bytes += b.bytes + int64(b.count)*entryOverhead + b.seen.bytes()
	for d := b.devices; d != nil; d = d.next {
		*devices++
		if d.stream != nil {
			*streams++
		}
	}
	return nil
}

// checkEntry recounts whom a live entry waits for.
func (b *mailbox) checkEntry(e *entry) error {
	n := int32(0)
	for d := b.devices; d != nil; d = d.next {
		if e.targets(d.id) && e.verdicts[d.id] != unwanted && d.acked.At[e.msg.Priority.Lane()].Less(e.pos) {
			n++
		}
	}
	if n != e.waiting {
		return fmt.Errorf("gateway: message %s of user %s counts %d devices that it waits for, there are %d", e.msg.ID, b.user, e.waiting, n)
	}
	return nil
}
