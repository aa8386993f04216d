package linkgrpc

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errOverflow ends a link whose peer takes nothing, or not enough.
var errOverflow = errors.New("linkgrpc: more waits to be sent than a link may hold: the peer takes too little")

// deferredFor is how long a frame may wait that nobody waits for. A batch costs its two ends some 20 µs, as much as all else that a message
// takes on a link: an ack alone is not worth that, and goes with the next publish.
const deferredFor = 10 * time.Millisecond

// outbox holds what is to be sent on a link, in order. Whatever is put while a batch is on its way goes with the next ones, and what was
// deferred goes with whatever is put next, or after deferredFor.
//
// At its limit it takes nothing more, and the link ends: what its peer has not taken by then is told to nobody.
type outbox struct {
	// immutable
	limit    int // bytes
	overflow func()
	wake     chan struct{} // holds a value where there is something to send

	mu     sync.Mutex
	queue  []*batch    // those that wait; what is put goes into the last
	due    bool        // something waits that was not deferred, or not for longer
	timer  *time.Timer // sets due; nil: nothing was deferred yet
	timed  bool        // timer runs
	room   [1]*batch   // of queue, while no more than one waits
	bytes  int         // that wait, or are on their way
	begun  uint64      // how many batches were given to grpc
	frames uint64      // that were put, in all
	closed bool        // takes nothing more
	ending bool        // the sender ends once nothing waits
}

func newOutbox(limit int, overflow func()) *outbox {
	return &outbox{limit: limit, overflow: overflow, wake: make(chan struct{}, 1)}
}

// put has encode append a frame. It answers which batch that is in, for sent; false where the link takes nothing more.
func (o *outbox) put(encode func(b []byte) []byte) (at uint64, ok bool) {
	return o.add(encode, false)
}

// putDeferred is put for a frame that may wait.
func (o *outbox) putDeferred(encode func(b []byte) []byte) { o.add(encode, true) }

func (o *outbox) add(encode func(b []byte) []byte, deferred bool) (at uint64, ok bool) {
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return 0, false
	}
	n := len(o.queue)
	if n == 0 || len(o.queue[n-1].bytes) >= batchBytes {
		o.queue = append(o.queue, newBatch())
		n++
	}
	last := o.queue[n-1]
	before := len(last.bytes)
	last.bytes = encode(last.bytes)
	o.bytes += len(last.bytes) - before
	last.frames++
	o.frames++
	at = o.begun + uint64(n)
	over := o.bytes > o.limit
	if over {
		o.closed = true
	}
	if !deferred || n > 1 { // a full batch waits for nothing
		o.due = true
	} else if !o.due && !o.timed {
		o.deferLocked()
	}
	due := o.due
	o.mu.Unlock()
	if over {
		o.overflow()
	}
	if due {
		o.signal()
	}
	return at, true
}

// deferLocked has what waits be sent after deferredFor.
func (o *outbox) deferLocked() {
	o.timed = true
	if o.timer == nil {
		o.timer = time.AfterFunc(deferredFor, o.onDeferred)
		return
	}
	o.timer.Reset(deferredFor)
}

func (o *outbox) onDeferred() {
	o.mu.Lock()
	o.timed = false
	o.due = o.due || len(o.queue) > 0
	due := o.due
	o.mu.Unlock()
	if due {
		o.signal()
	}
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// next waits for the next batch; nil once the link has ended.
func (o *outbox) next(ctx context.Context) *batch {
	for {
		o.mu.Lock()
		if len(o.queue) > 0 && (o.due || o.ending) {
			b := o.queue[0]
			o.queue[0] = nil
			if o.queue = o.queue[1:]; len(o.queue) == 0 {
				o.queue, o.due = o.room[:0], false
			}
			o.begun++
			o.mu.Unlock()
			return b
		}
		ending := o.ending
		o.mu.Unlock()
		if ending {
			return nil
		}
		select {
		case <-o.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// done takes back a batch that grpc needs no more.
func (o *outbox) done(b *batch) {
	n := len(b.bytes)
	b.free()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= n
}

// waiting is how many bytes wait, or are on their way.
func (o *outbox) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes
}

// said is how many frames were put.
func (o *outbox) said() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.frames
}

// close takes nothing more. What waits is still sent, where the link stands.
func (o *outbox) close() {
	o.mu.Lock()
	o.closed, o.ending = true, true
	o.mu.Unlock()
	o.signal()
}

// drop takes nothing more, and lets go of what waits.
func (o *outbox) drop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed, o.ending, o.queue, o.due = true, true, nil, false
	if o.timer != nil {
		o.timer.Stop()
	}
}

// sent reports whether the batch at may have reached the peer.
func (o *outbox) sent(at uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return at <= o.begun
}
