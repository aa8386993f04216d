package sock

import (
	"errors"
	"time"
)

// ErrClosed is what ended a connection that this side closed, and the answer to a Write after Close or Shutdown.
var ErrClosed = errors.New("frontend/sock: connection closed by this side")

// ErrFull ends a connection for which more than Config.MaxKept bytes would be buffered.
var ErrFull = errors.New("frontend/sock: send buffer full: the peer reads too slowly")

// ErrLingered ends a connection whose peer did not take the last bytes, or did not end its side, in time after a Shutdown.
var ErrLingered = errors.New("frontend/sock: peer did not end the connection in time after shutdown")

// Handler is told what happens to a connection. Callbacks may come before Add has returned: a handler that needs its Conn in
// them holds a lock of its own around Add, and takes it in the callbacks.
type Handler interface {
	// Read hands over input. b is valid, and may be changed, during the call. No more comes after Shutdown and Close.
	Read(b []byte)
	// Written says that n of the buffered bytes went out.
	Written(n int)
	// Closed says that the connection is gone, and with it what was buffered; it is the last call. err is nil where the peer ended
	// it, be it its side alone, also in answer to Shutdown; ErrClosed, ErrFull or ErrLingered where this side did; else what the
	// system reported.
	Closed(err error)
}

// Conn is a connection. Its methods may be called from any goroutine, also from callbacks, and do not block.
type Conn interface {
	// Write sends b, or copies and buffers what the socket does not take. buffered is how many bytes wait now, those of earlier
	// writes included. After an error the connection is closing: Closed follows.
	Write(b []byte) (buffered int, err error)
	// Shutdown sends what is buffered, ends this side (FIN), and closes once the peer has ended its own. Bounded by Config.Flush
	// and Config.Linger. Input is dropped from here on, but read, since a close with unread input is a reset.
	Shutdown()
	// Close closes at once. What is buffered is dropped.
	Close()
	// Stalled is for how long bytes have been buffered without any of them going out; 0 where none are.
	Stalled() time.Duration
}

// Polled is a Conn of an epoll set.
type Polled interface {
	// Poller is which of the Loop's pollers serves it, from 0.
	Poller() int
}

// state is how far a connection has come. It only ever grows.
type state uint8

const (
	open     state = iota
	ending         // Shutdown was called; buffered bytes are going out
	finished       // this side has ended; waiting for the peer to end its own
	dead           // to be closed, or closed
)

// started is the origin of the clock below.
var started = time.Now()

// clock is monotonic time in 8 bytes instead of time.Time's 24.
func clock() time.Duration { return time.Since(started) }
