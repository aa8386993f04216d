package gateway

import (
	"fmt"
	"sync/atomic"

	"ramen/protocol"
)

// ledger counts every message in and out of memory. At any quiet moment
// accepted + loaded = acked + expired + collapsed + recalled + unloaded + waiting. SPEC 8.
type ledger struct {
	accepted, loaded, unloaded atomic.Uint64
	ended                      [fates]atomic.Uint64
	waiting                    [protocol.Lanes]atomic.Int64
}

// Check recounts what the gauges say against the mailboxes. It is exact only while nothing is under way.
func (g *Gateway) Check() error {
	var n counts
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
			err := b.check(&n)
			g.releaseSwept(b)
			if err != nil {
				return err
			}
			n.boxes++
		}
	}
	return g.compare(&n)
}

// counts are what a check has counted.
type counts struct {
	boxes, devices, streams, bytes int64
	waiting                        [protocol.Lanes]int64
}

func (g *Gateway) compare(n *counts) error {
	var sum int64
	for i, are := range n.waiting {
		if said := g.ledger.waiting[i].Load(); said != are {
			return fmt.Errorf("gateway: ledger says %d messages of priority %v wait, the lanes hold %d", said, protocol.LanePriority(i), are)
		}
		sum += are
	}
	for _, c := range []struct {
		what      string
		said, are int64
	}{
		{"mailboxes", g.boxes.Load(), n.boxes}, {"devices", g.devices.Load(), n.devices},
		{"streams", g.streams.Load(), n.streams}, {"bytes in memory", g.memory.Load(), n.bytes},
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
