package simulation

import (
	"slices"
	"sync"

	"ramen/link"
	"ramen/protocol"
)

// end stands between a gateway's stream and its receiver in a frontend: what either says is under way for a while, and stays in order.
type end struct {
	// immutable
	conn       *conn
	receiver   link.Receiver
	generation link.Generation
	number     uint64 // of the connection
	at         link.Route
	user       protocol.UserID
	device     protocol.DeviceID

	toFrontend, toGateway int64 // guarded by bus.mu: when the last message arrives

	mu sync.Mutex
	// guarded by mu
	inner  link.Stream
	opened bool     // the answer to its Open is sent
	early  []func() // what the gateway said before
	closed bool     // the frontend has closed it, or was told that it has ended
	moved  bool     // closed because the socket goes on at another owner: Closed still passes
}

var (
	_ link.Stream   = (*end)(nil)
	_ link.Receiver = (*end)(nil)
)

func (e *end) joined(inner link.Stream) {
	e.mu.Lock()
	e.inner = inner
	e.mu.Unlock()
}

// flush sends what the gateway has said before it had answered the Open.
func (e *end) flush() {
	e.mu.Lock()
	e.opened = true
	early := e.early
	e.early = nil
	e.mu.Unlock()
	for _, f := range early {
		f()
	}
}

// up has what the gateway says come to the receiver. last: nothing comes after it.
func (e *end) up(what string, a uint64, last bool, passesMoved bool, f func(r link.Receiver)) {
	c := e.conn
	m := message{from: c.g.node, to: c.f.node, what: what, a: a, text: string(e.user) + "/" + string(e.device), after: &e.toFrontend}
	tell := func() {
		c.w.bus.send(m, func() {
			c.mu.Lock()
			stale := c.broken || c.number != e.number
			c.mu.Unlock()
			e.mu.Lock()
			drop := stale || e.closed && !(e.moved && passesMoved)
			e.closed = e.closed || last
			e.mu.Unlock()
			if last {
				e.leave()
			}
			if !drop {
				f(e.receiver)
			}
		})
	}
	e.mu.Lock()
	if !e.opened {
		e.early = append(e.early, tell)
		e.mu.Unlock()
		return
	}
	e.mu.Unlock()
	tell()
}

// Push implements link.Receiver.
func (e *end) Push(g link.Generation, batch []protocol.Push, more bool) {
	e.conn.w.pushed(e, batch)
	batch = slices.Clone(batch)
	e.up("push", uint64(batch[len(batch)-1].Seq), false, false, func(r link.Receiver) { r.Push(g, batch, more) })
}

// Acked implements link.Receiver.
func (e *end) Acked(g link.Generation, seq protocol.Seq) {
	e.up("acked", uint64(seq), false, false, func(r link.Receiver) { r.Acked(g, seq) })
}

// Closed implements link.Receiver.
func (e *end) Closed(g link.Generation, reason protocol.Reason, detail string) {
	if reason == protocol.ReasonSuperseded {
		e.conn.w.superseded(e)
	}
	e.up("closed "+reason.String(), 0, true, true, func(r link.Receiver) { r.Closed(g, reason, detail) })
}

// Lost implements link.Receiver.
func (e *end) Lost(g link.Generation, l link.Loss) {
	e.up("lost "+l.Reason.String(), uint64(l.Below), true, false, func(r link.Receiver) { r.Lost(g, l) })
}

// lost tells the frontend that the connection is broken.
func (e *end) lost() {
	e.mu.Lock()
	was := e.closed
	e.closed = true
	e.mu.Unlock()
	if !was && !e.conn.w.bus.isDead(e.conn.f.node) {
		e.receiver.Lost(e.generation, link.Loss{Reason: protocol.ReasonUnavailable})
	}
}

// closeInner tells the gateway that the connection is broken.
func (e *end) closeInner(r protocol.Reason) {
	e.mu.Lock()
	inner := e.inner
	e.mu.Unlock()
	if inner != nil && !e.conn.w.bus.isDead(e.conn.g.node) {
		inner.Close(r)
	}
}

// leave has the connection know of e no longer.
func (e *end) leave() {
	e.conn.mu.Lock()
	defer e.conn.mu.Unlock()
	e.conn.ends = slices.DeleteFunc(e.conn.ends, func(x *end) bool { return x == e })
}

// say has what the frontend says come to the gateway's stream.
func (e *end) say(what string, a uint64, f func(s link.Stream)) {
	c := e.conn
	m := message{from: c.f.node, to: c.g.node, what: what, a: a, text: string(e.user) + "/" + string(e.device), after: &e.toGateway, quiet: what == "credit"}
	c.w.bus.send(m, func() {
		c.mu.Lock()
		stale := c.broken || c.number != e.number
		c.mu.Unlock()
		e.mu.Lock()
		inner := e.inner
		e.mu.Unlock()
		if !stale && inner != nil {
			f(inner)
		}
	})
}

func (e *end) passes() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.closed
}

// Credit implements link.Stream.
func (e *end) Credit(n int) {
	if e.passes() {
		e.say("credit", uint64(n), func(s link.Stream) { s.Credit(n) })
	}
}

// Ack implements link.Stream.
func (e *end) Ack(seq protocol.Seq, cursor string) {
	if e.passes() {
		e.say("acks", uint64(seq), func(s link.Stream) { s.Ack(seq, cursor) })
	}
}

// Refresh implements link.Stream.
func (e *end) Refresh(c *protocol.DeviceContext) {
	if e.passes() {
		e.say("refresh", 0, func(s link.Stream) { s.Refresh(c) })
	}
}

// Measured implements link.Stream.
func (e *end) Measured(ms uint32) {
	if e.passes() {
		e.say("measured", uint64(ms), func(s link.Stream) { s.Measured(ms) })
	}
}

// Close implements link.Stream.
func (e *end) Close(reason protocol.Reason) {
	e.mu.Lock()
	was := e.closed
	e.closed, e.moved = true, reason == protocol.ReasonNone && !was
	e.mu.Unlock()
	if !was {
		e.say("close "+reason.String(), 0, func(s link.Stream) { s.Close(reason) })
	}
	if reason != protocol.ReasonNone {
		e.leave()
	}
}
