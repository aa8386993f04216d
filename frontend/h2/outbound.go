package h2

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// outbound is what is written to a connection.
type outbound struct {
	mu sync.Mutex
	// guarded by mu
	scan  scan
	began bool // the first SETTINGS frame is out

	raise atomic.Bool // the peer is to be told that it may open more calls
}

// writeLocked writes b, which is part of grpc's frames, and frames of our own between them.
func (c *Conn) writeLocked(b []byte) (int, error) {
	o := &c.out
	if !o.began {
		o.began = true
		b = c.fewCalls(b)
	}
	if o.raise.Load() && o.scan.between() {
		o.raise.Store(false)
		if _, err := c.Conn.Write(c.manyCalls()); err != nil {
			return 0, err
		}
	}
	c.follow(b)
	return c.Conn.Write(b)
}

// follow finds the frames of b.
func (c *Conn) follow(b []byte) {
	s := &c.out.scan
	for len(b) > 0 {
		if s.left > 0 {
			_, b = s.body(b)
			continue
		}
		h, rest, ok := s.head(b)
		if !ok {
			return
		}
		b = rest
		switch h.kind {
		case typeData, typeHeaders:
			c.sent.Add(1)
		case typeReset:
			c.reset(h.stream)
		}
	}
}

// fewCalls is b, grpc's first write, which begins with its SETTINGS frame, with fewer calls at once in it. A frame that is not
// whole, or without that setting, stays as it is.
func (c *Conn) fewCalls(b []byte) []byte {
	if len(b) < headBytes {
		return b
	}
	h := parseHead(b)
	if h.kind != typeSettings || len(b) < headBytes+int(h.length) {
		return b
	}
	b = append([]byte(nil), b...) // it is grpc's
	for at := headBytes; at+settingBytes <= headBytes+int(h.length); at += settingBytes {
		if binary.BigEndian.Uint16(b[at:]) == settingCalls {
			binary.BigEndian.PutUint32(b[at+2:], uint32(min(c.guard.cfg.UnknownCalls, c.guard.port.Calls)))
		}
	}
	return b
}

// manyCalls is a SETTINGS frame that lets the peer open as many calls as the port has. Its ack is dropped by grpc.
func (c *Conn) manyCalls() []byte {
	b := appendHead(nil, settingBytes, typeSettings, 0, 0)
	b = binary.BigEndian.AppendUint16(b, settingCalls)
	return binary.BigEndian.AppendUint32(b, uint32(c.guard.port.Calls))
}
