package ws

import (
	"container/list"
	"fmt"
	"math/bits"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/protocol"
)

// unfinished are the WebSockets that hold a part of a message, whose end has not come. All together they hold a bounded number
// of bytes: where one needs more, those that hold the most are ended, of these the one first that got nothing for longest. An
// honest device sends acks and tokens, which are short and come in one piece or soon, so that it is not among them.
type unfinished struct {
	most  int
	gauge prometheus.Gauge

	mu     sync.Mutex
	bytes  int                             // guarded by mu: of all
	of     map[*deviceStream]*list.Element // guarded by mu
	bySize [sizeClasses]list.List          // guarded by mu: of *partMessage, by the bits of their size, in the order in which they grew
}

// partMessage is what one WebSocket holds.
type partMessage struct {
	x       *deviceStream
	bytes   int
	beganMS int64
}

const (
	sizeClasses = 32
	// messageTime is how long a message may take from its first byte to its last, in ms. One whose device says nothing else
	// meanwhile ends with its silence, before.
	messageTime = 60_000
)

func newUnfinished(most int, gauge prometheus.Gauge) *unfinished {
	return &unfinished{most: most, gauge: gauge, of: map[*deviceStream]*list.Element{}}
}

// set notes that x holds so many bytes now, 0: nothing, and answers since when. The streams that are to end for it are taken
// off already.
func (u *unfinished) set(x *deviceStream, bytes int, now int64) (beganMS int64, over []*deviceStream) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.takeLocked(x)
	if bytes == 0 {
		return now, nil
	}
	if p == nil {
		p = &partMessage{x: x, beganMS: now}
	}
	p.bytes = bytes
	u.putLocked(p)
	for u.bytes > u.most {
		largest := u.largestLocked()
		u.takeLocked(largest.x)
		over = append(over, largest.x)
	}
	return p.beganMS, over
}

func (u *unfinished) putLocked(p *partMessage) {
	u.of[p.x] = u.bySize[bits.Len(uint(p.bytes))].PushBack(p)
	u.addLocked(p.bytes)
}

func (u *unfinished) takeLocked(x *deviceStream) *partMessage {
	e := u.of[x]
	if e == nil {
		return nil
	}
	p := e.Value.(*partMessage)
	delete(u.of, x)
	u.bySize[bits.Len(uint(p.bytes))].Remove(e)
	u.addLocked(-p.bytes)
	return p
}

func (u *unfinished) addLocked(bytes int) {
	u.bytes += bytes
	u.gauge.Set(float64(u.bytes))
}

// largestLocked is the first of the largest; there is one.
func (u *unfinished) largestLocked() *partMessage {
	for i := len(u.bySize) - 1; ; i-- {
		if e := u.bySize[i].Front(); e != nil {
			return e.Value.(*partMessage)
		}
	}
}

// check recounts.
func (u *unfinished) check() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	n, bytes := 0, 0
	for i := range u.bySize {
		for e := u.bySize[i].Front(); e != nil; e = e.Next() {
			n++
			bytes += e.Value.(*partMessage).bytes
		}
	}
	if n != len(u.of) || bytes != u.bytes || bytes > u.most {
		return fmt.Errorf("frontend/transport/ws: check: %d unfinished messages hold %d bytes, counted as %d and %d of at most %d", n, bytes, len(u.of), u.bytes, u.most)
	}
	return nil
}

// account notes what x holds of a message, with x.reading held, after each read. It answers the streams that are to end for it, which
// the caller does by endUnfinished once it does not hold x.reading.
func (x *deviceStream) account() (over []*deviceStream) {
	bytes := x.reader.Held()
	if bytes == 0 && !x.holdsPart {
		return nil
	}
	x.holdsPart = bytes > 0
	now := x.stream.NowMS()
	beganMS, over := x.unfinished.set(x, bytes, now)
	if bytes > 0 && now-beganMS-x.stream.PausedMS(beganMS) >= messageTime {
		over = append(over, x)
	}
	return over
}

// endUnfinished ends streams for what they hold, and lets go of it. The caller holds no stream's lock.
func endUnfinished(over []*deviceStream) {
	for _, x := range over {
		x.reading.Lock()
		x.drop()
		x.reading.Unlock()
		x.stream.Finish(protocol.ReasonResourceExhausted, "an incomplete message of this device uses memory that others need: send each message at once, within a minute")
	}
}

// drop lets go of what x has read of a message, with x.reading held. What comes behind is not read any more.
func (x *deviceStream) drop() {
	x.reader.Release()
	x.account()
}
