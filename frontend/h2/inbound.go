package h2

// inbound is what has been read of a connection.
type inbound struct {
	scan scan
	head head    // of the frame whose body comes
	pad  int     // bytes of padding at the end of a DATA frame; unread: its length comes first
	msg  message // of the DATA frame's stream
	some bool    // there may be unfinished messages
}

const unread = -1

// counts are what a connection may still do.
type counts struct {
	calls, resets, nothing, small budget

	known bool   // as what it was counted last
	sent  uint32 // frames to the peer when they earned last
}

func (k *counts) fill(l *limits) {
	now := nowMS()
	k.calls, k.resets, k.nothing = budget{l.calls.burst, now}, budget{l.resets.burst, now}, budget{l.nothing.burst, now}
	k.small = budget{l.small.burst, now}
}

// arrived follows what was read.
func (c *Conn) arrived(b []byte) reason {
	for len(b) > 0 {
		if c.in.scan.left > 0 {
			var part []byte
			part, b = c.in.scan.body(b)
			if c.in.head.kind == typeData {
				c.data(part)
			}
		} else {
			var ok bool
			if c.in.head, b, ok = c.in.scan.head(b); !ok {
				return fine
			}
			if why := c.begin(); why != fine {
				return why
			}
		}
		if c.in.scan.left == 0 && c.in.head.kind == typeData {
			if why := c.dataEnd(); why != fine {
				return why
			}
		}
	}
	return fine
}

// begin counts the frame whose head has come.
func (c *Conn) begin() reason {
	l := &c.guard.unknown
	if c.known.Load() {
		l = &c.guard.known
		if !c.counts.known {
			c.counts.known = true
			c.counts.fill(l)
		}
	}
	h := &c.in.head
	switch h.kind {
	case typeData:
		c.dataBegin()
		if h.length >= fewBytes || h.flags&flagEndStream != 0 {
			return fine
		}
		if l.small.rate > 0 && h.length > messageHead {
			return within(c.counts.small.spend(l.small, c.earned), manyNothings)
		}
	case typeHeaders:
		if h.stream > c.last.Load() {
			c.last.Store(h.stream)
			return within(c.counts.calls.spend(l.calls, nil), manyCalls)
		}
	case typeReset:
		c.drop(h.stream)
		return within(c.counts.resets.spend(l.resets, nil), manyResets)
	}
	return within(c.counts.nothing.spend(l.nothing, c.earned), manyNothings)
}

func within(ok bool, otherwise reason) reason {
	if ok {
		return fine
	}
	return otherwise
}

// earned is what was sent to the peer since it was asked last: each frame may be answered by some.
func (c *Conn) earned() float32 {
	sent := c.sent.Load()
	more := sent - c.counts.sent
	c.counts.sent = sent
	return earnedByOne * float32(more)
}
