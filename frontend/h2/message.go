package h2

import "encoding/binary"

// message is a gRPC message that comes: a byte of flags and its length in four, and as many bytes. The bytes that have come of one
// that is not whole are memory that nobody else counts: grpc keeps them until it has them all.
type message struct {
	part [messageHead]byte
	have uint8  // bytes of part
	left uint32 // bytes to come behind it
	got  int    // bytes that have come, the head's included
	age  int    // sweeps since its first byte
}

const messageHead = 5

// take follows b.
func (m *message) take(b []byte) {
	for len(b) > 0 {
		if m.have < messageHead {
			n := copy(m.part[m.have:], b)
			m.have, m.got, b = m.have+uint8(n), m.got+n, b[n:]
			if m.have < messageHead {
				return
			}
			m.left = binary.BigEndian.Uint32(m.part[1:])
		}
		n := min(m.left, uint32(len(b)))
		m.left, m.got, b = m.left-n, m.got+int(n), b[n:]
		if m.left == 0 {
			*m = message{}
		}
	}
}

// slow reports that m has come too slowly.
func (m *message) slow() bool { return m.age > slowAfter+m.got/slowRate }

// dataBegin prepares for the body of a DATA frame.
func (c *Conn) dataBegin() {
	c.in.pad = 0
	if c.in.head.flags&flagPadded != 0 {
		c.in.pad = unread
	}
	c.in.msg = message{}
	if !c.in.some {
		return
	}
	c.mu.Lock()
	c.in.some = len(c.partial) > 0
	if m := c.partial[c.in.head.stream]; m != nil {
		c.in.msg = *m
	}
	c.mu.Unlock()
}

// data follows bytes of a DATA frame's body, its padding left out (RFC 9113 6.1). The scan has counted them already.
func (c *Conn) data(b []byte) {
	if c.in.pad == unread && len(b) > 0 {
		c.in.pad, b = int(b[0]), b[1:]
	}
	behind := int(c.in.scan.left) // in the frame
	if over := c.in.pad - behind; over > 0 {
		b = b[:max(0, len(b)-over)]
	}
	c.in.msg.take(b)
}

// dataEnd counts what the frame has left unfinished.
func (c *Conn) dataEnd() reason {
	id, m := c.in.head.stream, c.in.msg
	if m.got == 0 || c.in.head.flags&flagEndStream != 0 {
		if c.in.some {
			c.drop(id)
		}
		return fine
	}
	if c.keep(id, m) == 0 {
		return fine
	}
	return c.guard.unfinished(c)
}

// keep keeps what has come of a message, and answers by how many bytes that is more than before.
func (c *Conn) keep(id uint32, m message) (more int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.partial[id]
	if kept == nil {
		if c.gone || c.isEndedLocked(id) { // then grpc drops its bytes
			return 0
		}
		if c.partial == nil {
			c.partial = make(map[uint32]*message)
		}
		kept = new(message)
		c.partial[id] = kept
		c.in.some = true
	}
	more = m.got - kept.got
	if m.age > 0 { // still the same message
		m.age = kept.age
	}
	*kept = m
	c.pending += more
	c.guard.bytes.Add(int64(more)) // under mu, as what takes it off
	return more
}

// drop forgets what has come of a message of a stream.
func (c *Conn) drop(stream uint32) {
	c.mu.Lock()
	m := c.partial[stream]
	if m != nil {
		delete(c.partial, stream)
		c.pending -= m.got
		c.guard.bytes.Add(-int64(m.got))
	}
	c.mu.Unlock()
}

// dropAll is the end of the connection.
func (c *Conn) dropAll() {
	c.mu.Lock()
	c.guard.bytes.Add(-int64(c.pending))
	c.partial, c.pending = nil, 0
	if c.closed != nil && !c.gone {
		close(c.closed)
	}
	c.gone = true
	c.mu.Unlock()
}

// keptEnded is how many of the streams that this side has reset are remembered: what was under way to one comes a moment later, and
// is no message.
const keptEnded = 128

// reset notes that this side has reset a stream.
func (c *Conn) reset(stream uint32) {
	c.drop(stream)
	c.mu.Lock()
	if len(c.ended) < keptEnded {
		c.ended = append(c.ended, stream)
	} else {
		c.ended[c.endedAt] = stream
		c.endedAt = (c.endedAt + 1) % keptEnded
	}
	c.mu.Unlock()
}

func (c *Conn) isEndedLocked(stream uint32) bool {
	for _, id := range c.ended {
		if id == stream {
			return true
		}
	}
	return false
}
