package sock

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// outbox is a Conn over a writer that blocks: Write buffers everything, and a goroutine writes while something is buffered.
type outbox struct {
	// immutable
	cfg    Config
	h      Handler
	remote net.Addr
	write  func([]byte) error
	finish func() // ends this side, after the last byte; may block
	abort  func() // closes: write, and what else blocks, returns
	gone   func() // after Closed

	callback sync.Mutex // held around callbacks, so that they come one at a time; taken before mu

	mu      sync.Mutex
	state   state
	writing bool        // drain is under way
	eof     bool        // the peer has ended its side
	active  int         // goroutines that may call h; the last one that leaves a dead connection calls Closed
	buf     *sendBuffer // nil: nothing is buffered
	err     error
	timer   *time.Timer // from Shutdown on
}

// Outbox is a Conn over a blocking writer, such as an HTTP/2 response: it has a goroutine only while something is buffered. closeIt
// is called once, from a goroutine of its own, and has to make a write that is under way return; write is not called after
// Closed. h.Read is never called: who serves the request hears of the peer's end, and calls Close. Bounds are those of Default.
func Outbox(write func([]byte) error, closeIt func(), h Handler, remote net.Addr) Conn {
	o := &outbox{cfg: Default(), h: h, remote: remote, write: write, abort: closeIt, gone: func() {}}
	o.finish = func() { o.fail(nil) }
	return o
}

// Write implements Conn.
func (o *outbox) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != open {
		if o.err != nil {
			return 0, o.err
		}
		return 0, ErrClosed
	}
	if len(b) == 0 {
		return o.buf.buffered(), nil
	}
	if o.buf.buffered()+len(b) > o.cfg.MaxKept {
		o.failLocked(ErrFull)
		return 0, ErrFull
	}
	if o.buf == nil {
		o.buf = &sendBuffer{}
	}
	o.buf.add(b)
	o.drainLocked()
	return o.buf.n, nil
}

// drainLocked sees to it that drain is under way.
func (o *outbox) drainLocked() {
	if !o.writing {
		o.writing = true
		o.active++
		go o.drain()
	}
}

// drain writes until nothing is buffered, and after a Shutdown ends this side.
func (o *outbox) drain() {
	defer o.leave()
	for b := o.next(); b != nil; b = o.next() {
		for len(b) > 0 {
			piece := b[:min(len(b), maxPiece)]
			if b = b[len(piece):]; !o.send(piece) {
				break // next ends it
			}
		}
	}
	o.mu.Lock()
	last := o.state == finished
	o.mu.Unlock()
	if last {
		o.finish()
	}
}

// maxPiece is the most bytes of one blocking write: a slow peer's progress is seen as often. It is a TLS record.
const maxPiece = 16 << 10

// send writes a piece and reports it; false where the connection is dead.
func (o *outbox) send(piece []byte) bool {
	if err := o.write(piece); err != nil {
		o.failWrite(fmt.Errorf("frontend/sock: write to %v: %w", o.remote, err))
		return false
	}
	o.mu.Lock()
	alive := o.state != dead
	if alive {
		o.buf.sent(len(piece))
	}
	o.mu.Unlock()
	if alive {
		o.callback.Lock()
		o.h.Written(len(piece))
		o.callback.Unlock()
	}
	return alive
}

// next is the next chunk to write; nil: drain ends, since nothing is buffered or the connection is dead.
func (o *outbox) next() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != dead && o.buf.buffered() > 0 {
		return o.buf.takeChunk()
	}
	o.buf = nil
	o.writing = false
	if o.state == ending {
		o.state = finished
		o.timer.Reset(o.cfg.Linger)
	}
	return nil
}

// Shutdown implements Conn.
func (o *outbox) Shutdown() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != open {
		return
	}
	o.state = ending
	o.timer = time.AfterFunc(o.cfg.Flush, func() { o.fail(ErrLingered) })
	o.drainLocked()
}

// Close implements Conn.
func (o *outbox) Close() { o.fail(ErrClosed) }

// fail ends the connection.
func (o *outbox) fail(err error) {
	o.mu.Lock()
	o.failLocked(err)
	o.mu.Unlock()
}

// failWrite ends the connection by a write's error. A reset is told to one call alone: where that is a write, a read sees the
// peer's end, and may be first to say so.
func (o *outbox) failWrite(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state == dead && o.err == nil && !errors.Is(err, net.ErrClosed) {
		o.err = err
	}
	o.failLocked(err)
}

// failLocked closes from a goroutine, since abort may block, or need a lock of the caller's.
func (o *outbox) failLocked(err error) {
	if o.state == dead {
		return
	}
	o.state = dead
	o.err = err
	o.buf = nil
	if o.timer != nil {
		o.timer.Stop()
	}
	o.active++
	go func() {
		o.abort()
		o.leave()
	}()
}

// leave is the end of each goroutine. After the state is dead no further one begins.
func (o *outbox) leave() {
	o.mu.Lock()
	o.active--
	last := o.active == 0 && o.state == dead
	err := o.err
	o.mu.Unlock()
	if last {
		o.h.Closed(err)
		o.gone()
	}
}

// Stalled implements Conn.
func (o *outbox) Stalled() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.stalled()
}

// check recounts.
func (o *outbox) check() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.buf.buffered() > 0 && !o.writing {
		return fmt.Errorf("frontend/sock: check connection of %v: %d bytes are buffered and nobody writes", o.remote, o.buf.n)
	}
	return o.buf.check()
}
