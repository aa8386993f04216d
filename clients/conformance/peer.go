package conformance

import (
	"errors"
	"net"
	"sync"

	"ramen/protocol"
)

// peer is the server's end of one stream.
type peer struct {
	run  *run
	open opening
	wire wire
	conn net.Conn // what cut closes

	// put writes bytes of the wire as the transport has them.
	put func(b []byte) error
	// end ends the stream as a server does that says no more: a body that is complete, a close without a code.
	end func()
	// bare ends it with the word for a reason that the transport has: a close code, a status. nil: there is none.
	bare func(reason protocol.Reason, text string)

	writing sync.Mutex // one unit of the wire at a time

	gone  chan struct{} // the device has ended the stream, or it was cut
	ended sync.Once
	clean bool // guarded by run.mu: the device said goodbye, in a way that the transport has

	poll *pollPeer // of a long-poll alone

	// Of the script. Guarded by run.mu.
	seq     protocol.Seq
	greeted bool
	silent  bool // no heartbeats
	echoes  int
	tokens  []string // of refreshes
}

var errGone = errors.New("the device has ended the stream")

// write puts one unit, or pieces of one.
func (p *peer) write(pieces ...[]byte) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	for _, b := range pieces {
		select {
		case <-p.gone:
			return errGone
		default:
		}
		if err := p.put(b); err != nil {
			return errGone
		}
	}
	return nil
}

// left notes that the device has ended the stream.
func (p *peer) left(clean bool) {
	p.ended.Do(func() {
		p.run.mu.Lock()
		p.clean = clean
		p.run.mu.Unlock()
		close(p.gone)
		p.run.notef("server", "%s: the device has ended the stream (clean: %v)", p.open.kind, clean)
		p.run.changed()
	})
}

// cut resets the connection.
func (p *peer) cut() {
	if tcp, ok := p.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = p.conn.Close()
	p.ended.Do(func() { close(p.gone) })
}

// finish ends it without a word.
func (p *peer) finish() {
	p.end()
	p.ended.Do(func() { close(p.gone) })
}

// frame takes what the device said.
func (p *peer) frame(f *protocol.DeviceFrame) {
	r := p.run
	switch f.Kind {
	case protocol.FrameAck:
		if f.Cursor != "" {
			r.ackCursor(f.Cursor)
		} else {
			r.ack(f.Seq)
		}
	case protocol.FrameHeartbeat:
		r.mu.Lock()
		p.echoes++
		r.mu.Unlock()
	case protocol.FrameRefresh:
		r.notef("device", "refresh with token %q", f.Token)
		r.mu.Lock()
		p.tokens = append(p.tokens, f.Token)
		r.mu.Unlock()
	}
	r.changed()
}
