package ramen

import (
	"context"
	"errors"
	"sync"

	"ramen/protocol"
)

// errOverrun is a server that pushes beyond the window: what it sends cannot be kept.
var errOverrun = errors.New("ramen: the server pushed more than the window")

// item is one push that waits for the handler, or a hello's place.
type item struct {
	from *stream
	push protocol.Push // Message is nil: no push
	// The cursor of a hello; resumed says that the device's own place, if it gave one, still holds.
	place   string
	resumed bool
}

// inbox holds what was read and not yet processed: at most a window of each stream, since the server sends no more. At
// the bound the stream ends with errOverrun, and what was in it comes again on the next.
type inbox struct {
	mu    sync.Mutex
	items []item        // guarded by mu; oldest first
	ready chan struct{} // one token: there may be items
}

func newInbox() *inbox { return &inbox{ready: make(chan struct{}, 1)} }

// put never blocks, so that heartbeats are read and answered while the handler is busy.
func (b *inbox) put(it item) error {
	s := it.from
	b.mu.Lock()
	pushes, bytes := s.transport.Kind().Window()
	size := len(it.push.Message.Payload)
	// Twice the bytes: what the server counts need not be what is counted here.
	if s.waiting > 0 && (s.waiting >= pushes || s.waitingBytes+size > 2*bytes) {
		b.mu.Unlock()
		return errOverrun
	}
	s.waiting++
	s.waitingBytes += size
	b.items = append(b.items, it)
	b.mu.Unlock()
	b.wake()
	return nil
}

// putPlace hands on where a stream begins, ahead of its pushes. There is one a hello.
func (b *inbox) putPlace(s *stream, h *protocol.Hello) {
	b.mu.Lock()
	b.items = append(b.items, item{from: s, place: h.Cursor, resumed: h.Resumed})
	b.mu.Unlock()
	b.wake()
}

func (b *inbox) wake() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// take waits for the next push of a stream that still counts. more says that others wait behind it.
func (b *inbox) take(ctx context.Context) (it item, more bool, ok bool) {
	for ctx.Err() == nil {
		if it, more, ok = b.pop(); ok {
			return it, more, true
		}
		select {
		case <-b.ready:
		case <-ctx.Done():
		}
	}
	return item{}, false, false
}

// pop drops what came on streams that are over: their successors bring it again. SPEC 2.6.1
func (b *inbox) pop() (it item, more bool, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.items) > 0 {
		it = b.items[0]
		b.items[0] = item{}
		b.items = b.items[1:]
		if m := it.push.Message; m != nil {
			it.from.waiting--
			it.from.waitingBytes -= len(m.Payload)
		}
		if !it.from.dead.Load() {
			return it, len(b.items) > 0, true
		}
	}
	b.items = nil
	return item{}, false, false
}
