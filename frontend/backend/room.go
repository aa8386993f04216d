package backend

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"ramen/protocol"
)

// room is the memory of all publishes that are not answered yet, in bytes. What is whole and on its way to the gateway is answered
// in a moment, whatever its client does. What waits for its client, a body that is still coming and a PublishStream whose answers
// are to be read, is a holder: all holders together have half of the room, so that they never take it from others; each has a bound
// of its own, and so has each connection; and where they are short of room, the one that has waited longest for its client ends.
type room struct {
	// immutable
	most       int64 // of all
	ofHolders  int64
	ofOne      int64 // PublishStream; the first request may be larger
	ofOneConn  int64
	longWaited func() // counts one that was ended

	mu      sync.Mutex
	used    int64
	held    int64 // of used, by holders; with what is counted for those that are not read
	holders map[*holder]struct{}
	conns   map[string]*connHeld
	freed   chan struct{} // closed when room is given back; nil while nobody waits
}

// connHeld is what the holders of one connection have.
type connHeld struct {
	holders int
	bytes   int64
}

// holder is one body or PublishStream.
type holder struct {
	// immutable
	room   *room
	conn   string
	stream bool   // a PublishStream; a body's bound is its own
	end    func() // ends it, from outside

	// guarded by room.mu
	bytes  int64
	unread int64 // counted while it is not read: what its client may send meanwhile
	ended  bool

	since atomic.Int64 // since when it waits for its client, as clock has it; 0: it does not
}

const (
	// impatience is how long a client may be waited for while others need its room.
	impatience = time.Second
	// answersTaken is how long a PublishStream may take no answer.
	answersTaken = 30 * time.Second
	// roomWait is how long a body waits for room before it is refused.
	roomWait = 2 * time.Second
	// lookAgain is how often one that waits for room looks for whom to end.
	lookAgain = 200 * time.Millisecond
	// smallBody is how many bytes of a body may be in the half of the room that is not the holders': nearly all are whole then.
	smallBody = 32 << 10
	// mostStreams is how many PublishStreams one connection may have: a publisher needs one.
	mostStreams = 64
)

func newRoom(cfg *Config) *room {
	one := int64(cfg.Publish.MaxBody) + 1 // a body that is too long is read so far
	return &room{
		most: max(cfg.BytesUnderWay, one), ofHolders: max(cfg.BytesUnderWay/2, one), ofOne: cfg.BytesUnderWay / 32, ofOneConn: max(cfg.BytesUnderWay/8, one),
		longWaited: func() {}, holders: make(map[*holder]struct{}), conns: make(map[string]*connHeld),
	}
}

var clockZero = time.Now()

// clock is monotonic, in ns; 0 at no time that matters.
func clock() int64 { return int64(time.Since(clockZero)) + 1 }

// take reserves what a whole request needs, until give.
func (r *room) take(n int64) bool {
	r.mu.Lock()
	if r.used+n <= r.most {
		r.used += n
		r.mu.Unlock()
		return true
	}
	old := r.longestLocked(impatience)
	r.mu.Unlock()
	r.endOne(old)
	return false
}

func (r *room) give(n int64) {
	r.mu.Lock()
	r.used -= n
	r.freedLocked()
	r.mu.Unlock()
}

func (r *room) freedLocked() {
	if r.freed != nil {
		close(r.freed)
		r.freed = nil
	}
}

// join makes a holder of the connection; nil where that has most already, unless most is 0.
func (r *room) join(conn string, most int, end func()) *holder {
	h := &holder{room: r, conn: conn, stream: most > 0, end: end}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.conns[conn]
	if c == nil {
		c = &connHeld{}
		r.conns[conn] = c
	} else if most > 0 && c.holders >= most {
		return nil
	}
	c.holders++
	r.holders[h] = struct{}{}
	return h
}

// leave gives back all that h has, but for whole bytes, which go on as taken by a whole request.
func (h *holder) leave(whole int64) {
	r := h.room
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= h.bytes - whole
	r.held -= h.bytes + h.unread
	c := r.conns[h.conn]
	c.bytes -= h.bytes
	if c.holders--; c.holders == 0 {
		delete(r.conns, h.conn)
	}
	h.bytes, h.unread = 0, 0
	delete(r.holders, h)
	r.freedLocked()
}

func (h *holder) give(n int64) {
	r := h.room
	r.mu.Lock()
	h.bytes -= n
	r.used -= n
	r.held -= n
	r.conns[h.conn].bytes -= n
	r.freedLocked()
	r.mu.Unlock()
}

// fitsLocked reports whether h may have n more.
func (h *holder) fitsLocked(n int64) bool {
	r := h.room
	switch {
	case r.used+n > r.most, r.conns[h.conn].bytes+n > r.ofOneConn:
		return false
	case h.bytes+n <= smallBody && h.unread == 0:
		return true
	}
	return r.held+n-h.unread <= r.ofHolders && (h.bytes == 0 || !h.stream || h.bytes+n <= r.ofOne)
}

// try takes n more for h where there is room.
func (h *holder) try(n int64) bool {
	r := h.room
	r.mu.Lock()
	defer r.mu.Unlock()
	return h.tryLocked(n)
}

func (h *holder) tryLocked(n int64) bool {
	if !h.fitsLocked(n) {
		return false
	}
	r := h.room
	r.used += n
	r.held += n - h.unread
	h.bytes += n
	h.unread = 0
	r.conns[h.conn].bytes += n
	return true
}

// hold takes n more for h, and waits for it until ctx ends. Meanwhile h is not read, and unread bytes may gather in its connection.
func (h *holder) hold(ctx context.Context, n, unread int64) error {
	if h.try(n) {
		return nil
	}
	r := h.room
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		var old *holder
		r.mu.Lock()
		if h.tryLocked(n) {
			r.mu.Unlock()
			return nil
		}
		if h.unread == 0 && unread > 0 {
			h.unread = unread + n // what waits here is decoded already
			r.held += h.unread
		}
		if r.used+n > r.most || r.held > r.ofHolders || h.unread == 0 && r.held+n > r.ofHolders {
			old = r.longestLocked(impatience)
		}
		if r.freed == nil {
			r.freed = make(chan struct{})
		}
		freed := r.freed
		r.mu.Unlock()
		r.endOne(old)
		select {
		case <-freed:
		case <-again.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// waits says that h waits for its client from now on; goesOn, that it does no more.
func (h *holder) waits()  { h.since.Store(clock()) }
func (h *holder) goesOn() { h.since.Store(0) }

// waited is for how long h has been waiting for its client.
func (h *holder) waited() time.Duration {
	if since := h.since.Load(); since != 0 {
		return time.Duration(clock() - since)
	}
	return 0
}

// longestLocked is the holder that has waited longest for its client and has bytes, at least so long; it is to be ended.
func (r *room) longestLocked(least time.Duration) *holder {
	var longest *holder
	for h := range r.holders {
		if d := h.waited(); d >= least && !h.ended && h.bytes+h.unread > 0 {
			longest, least = h, d
		}
	}
	if longest != nil {
		longest.ended = true
	}
	return longest
}

func (r *room) endOne(h *holder) {
	if h != nil {
		r.longWaited()
		h.end()
	}
}

// endWaiting ends all that have waited for their client so long.
func (r *room) endWaiting(least time.Duration) {
	var all []*holder
	r.mu.Lock()
	for h := range r.holders {
		if h.waited() >= least && !h.ended {
			h.ended = true
			all = append(all, h)
		}
	}
	r.mu.Unlock()
	for _, h := range all {
		r.endOne(h)
	}
}

func (r *room) usedNow() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used
}

// take reserves the memory of a request that is whole; give returns it. At the bound requests are refused: memory is bounded, and
// their publishers have to wait in any case.
func (s *Server) take(bytes int64) *protocol.Error {
	if s.room.take(bytes) {
		return nil
	}
	return s.noRoom()
}

func (s *Server) noRoom() *protocol.Error {
	return protocol.Errorf(protocol.CodeUnavailable, "%d bytes of publishes are waiting for their answers already: nothing of this one was accepted; try again", s.cfg.BytesUnderWay)
}

func (s *Server) give(bytes int64) { s.room.give(bytes) }
