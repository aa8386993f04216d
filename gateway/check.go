package gateway

import (
	"fmt"
	"runtime"

	"ramen/gateway/mailbox"
	"ramen/protocol"
)

// Check recounts what the gauges say against the mailboxes. It is exact only while nothing is under way.
func (g *Gateway) Check() error {
	var n mailbox.Counts
	for i := range g.shards {
		for _, b := range g.shards[i].pinAll() {
			err := b.recount(&n)
			g.releaseSwept(b)
			if err != nil {
				return err
			}
		}
	}
	return g.compare(&n)
}

// pinAll pins and names the mailboxes of s that are loaded.
func (s *shard) pinAll() []*box {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*box, 0, len(s.boxes))
	for _, b := range s.boxes {
		if b.touchedMS != stillLoading {
			b.pins++
			list = append(list, b)
		}
	}
	return list
}

// recount counts b anew, in portions, and adds it to n.
func (b *box) recount(n *mailbox.Counts) error {
	c := mailbox.NewRecount(&b.Mailbox)
	for more := true; more; runtime.Gosched() {
		var err error
		b.lock()
		if more = b.live(); more {
			more, err = c.Portion(n)
		}
		b.unlock()
		if err != nil {
			return fmt.Errorf("gateway: %w", err)
		}
	}
	return nil
}

func (g *Gateway) compare(n *mailbox.Counts) error {
	l, sum := &g.common.Ledger, int64(0)
	for i, are := range n.Waiting {
		if said := l.Waiting[i].Load(); said != are {
			return fmt.Errorf("gateway: ledger says %d messages of priority %v wait, the lanes hold %d", said, protocol.LanePriority(i), are)
		}
		sum += are
	}
	for _, c := range []struct {
		what      string
		said, are int64
	}{
		{"mailboxes", l.Mailboxes.Load(), n.Mailboxes}, {"devices", l.Devices.Load(), n.Devices},
		{"streams", g.streams.Load(), n.Online}, {"bytes in memory", l.Memory.Load(), n.Bytes},
	} {
		if c.said != c.are {
			return fmt.Errorf("gateway: gauge says %d %s, there are %d", c.said, c.what, c.are)
		}
	}
	in := l.Accepted.Load() + l.Loaded.Load()
	out := l.Unloaded.Load() + uint64(sum)
	for i := range l.Ended {
		out += l.Ended[i].Load()
	}
	if in != out {
		return fmt.Errorf("gateway: ledger does not add up: %d messages came in, %d left or wait", in, out)
	}
	return nil
}
