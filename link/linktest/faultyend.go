package linktest

import (
	"sync"

	"ramen/link"
	"ramen/protocol"
)

// faultyEnd stands between a stream of the gateway's and its receiver.
//
//	opening ──▶ open ──▶ closed            the frontend closed it, or the gateway ended it
//	    │        └─────▶ severed ──▶ told  Lost once no other call is under way
//	    └──────▶ severed                   Open answers ErrLost; the receiver is told nothing
type faultyEnd struct {
	link       *FaultyLink
	receiver   link.Receiver
	generation link.Generation

	mu          sync.Mutex
	inner       link.Stream
	opened      bool // Open has answered, or is about to
	cutOff      bool // severed before
	dead        bool // closed or severed: nothing passes any more
	moved       bool // closed because the socket goes on at another owner: Closed still passes
	inside      bool // a call of the receiver is under way
	lostPending bool // Lost is still to be told
}

var (
	_ link.Stream   = (*faultyEnd)(nil)
	_ link.Receiver = (*faultyEnd)(nil)
)

// join notes the gateway's stream; false where the link was severed meanwhile.
func (e *faultyEnd) join(s link.Stream) bool {
	e.link.mu.Lock()
	defer e.link.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.link.severed {
		e.dead, e.cutOff = true, true
		return false
	}
	e.inner = s
	if !e.dead { // ended by the gateway already
		e.link.ends[e] = true
	}
	return true
}

// handOver reports whether Open may answer the stream.
func (e *faultyEnd) handOver() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.opened = true
	return !e.cutOff
}

// sever loses the stream on both sides.
func (e *faultyEnd) sever() {
	e.mu.Lock()
	inner, was := e.inner, e.dead
	e.dead = true
	e.cutOff = !was && !e.opened
	now := !was && e.opened && !e.inside
	e.lostPending = !was && e.opened && e.inside
	e.mu.Unlock()
	if now {
		e.tellLost()
	}
	if !was {
		inner.Close(protocol.ReasonUnavailable)
	}
}

// tellLost tells the frontend that the link broke.
func (e *faultyEnd) tellLost() {
	e.receiver.Lost(e.generation, link.Loss{Reason: protocol.ReasonUnavailable})
}

// pass makes a call of the receiver, unless the stream is dead.
func (e *faultyEnd) pass(last bool, call func()) {
	e.mu.Lock()
	if e.dead {
		e.mu.Unlock()
		return
	}
	e.dead = last
	e.inside = true
	e.mu.Unlock()
	call()
	e.mu.Lock()
	e.inside = false
	lostPending := e.lostPending
	e.lostPending = false
	e.mu.Unlock()
	if lostPending {
		e.tellLost()
	}
}

func (e *faultyEnd) Push(g link.Generation, batch []protocol.Push, more bool) {
	e.pass(false, func() { e.receiver.Push(g, batch, more) })
}

func (e *faultyEnd) Acked(g link.Generation, seq protocol.Seq) {
	e.pass(false, func() { e.receiver.Acked(g, seq) })
}

func (e *faultyEnd) Closed(g link.Generation, reason protocol.Reason, detail string) {
	e.link.mu.Lock()
	e.mu.Lock()
	if e.moved && !e.link.severed {
		e.dead = false
	}
	e.moved = false
	e.mu.Unlock()
	e.link.mu.Unlock()
	e.pass(true, func() { e.receiver.Closed(g, reason, detail) })
	e.leave()
}

func (e *faultyEnd) Lost(g link.Generation, l link.Loss) {
	e.pass(true, func() { e.receiver.Lost(g, l) })
	e.leave()
}

func (e *faultyEnd) leave() {
	e.link.mu.Lock()
	delete(e.link.ends, e)
	e.link.mu.Unlock()
}

// live is the gateway's stream, or nil.
func (e *faultyEnd) live() link.Stream {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.dead {
		return nil
	}
	return e.inner
}

func (e *faultyEnd) Credit(n int) {
	if s := e.live(); s != nil {
		s.Credit(n)
	}
}

func (e *faultyEnd) Ack(seq protocol.Seq, cursor string) {
	if s := e.live(); s != nil {
		s.Ack(seq, cursor)
	}
}

func (e *faultyEnd) Refresh(c *protocol.DeviceContext) {
	if s := e.live(); s != nil {
		s.Refresh(c)
	}
}

func (e *faultyEnd) Measured(ms uint32) {
	if s := e.live(); s != nil {
		s.Measured(ms)
	}
}

func (e *faultyEnd) Close(reason protocol.Reason) {
	e.mu.Lock()
	inner, was := e.inner, e.dead
	e.moved = reason == protocol.ReasonNone && !was
	e.dead, e.lostPending = true, false
	e.mu.Unlock()
	e.leave()
	if !was {
		inner.Close(reason)
	}
}
