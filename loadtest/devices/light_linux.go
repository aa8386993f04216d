package devices

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"ramen/protocol"
)

// light is a stream without a goroutine: a descriptor in an epoll set, and this struct. Guarded by its shard.
type light struct {
	d       *Device
	fd      int
	begun   bool   // the connection is established
	headed  bool   // the head of the response was read
	echo    bool   // a heartbeat is to be answered
	writing bool   // epoll waits until the socket takes more
	deflate bool   // permessage-deflate was negotiated
	packed  bool   // the current message is compressed
	rest    []byte // an event or frame that is not complete
	joined  []byte // fragments of one message
	out     []byte // bytes that the socket did not take
	chunks  *chunks
}

// dialLight opens a light stream. Called with mu held.
func (s *Shard) dialLight(d *Device, at *endpoint, o *protocol.OpenFrame) {
	l := &light{d: d, fd: -1, out: s.head(d.kind, at, o)}
	d.conn = l
	if err := s.connect(l, &at.addr); err != nil {
		d.ended(l, fmt.Errorf("devices: connect: %w", err))
	}
}

// cut ends the connection with a reset, which leaves no port in TIME_WAIT on this side.
func (l *light) cut() {
	if l.fd >= 0 {
		_ = unix.SetsockoptLinger(l.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		l.d.sh.loop.(*epoll).remove(l)
		l.fd = -1
	}
}

// send writes b, and keeps what the socket does not take.
func (l *light) send(b []byte) {
	l.out = append(l.out, b...)
	if !l.writing {
		l.flush()
	}
}

func (l *light) flush() {
	if l.fd < 0 {
		return
	}
	n, err := unix.Write(l.fd, l.out)
	if n > 0 {
		l.out = l.out[n:]
	}
	if len(l.out) == 0 {
		l.out = nil
	}
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		l.out = nil // the next read will fail, too
	}
	if want := len(l.out) > 0; want != l.writing && l.begun {
		l.writing = want
		l.d.sh.loop.(*epoll).watch(l)
	}
}

// ack acks every push so far.
func (l *light) ack() {
	var room [64]byte
	l.send(appendFrame(nil, l.op(), ackFrame(l.d.kind, room[:0], l.d.seq)))
	l.d.sh.acked(l.d)
}

func (l *light) op() byte {
	if l.d.kind == wsProto {
		return opBinary
	}
	return opText
}

// readable reads from the socket and handles what it read.
func (l *light) readable(buf []byte) {
	d := l.d
	n, err := unix.Read(l.fd, buf)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return
	case err != nil:
		d.ended(l, fmt.Errorf("devices: read: %w", err))
		return
	case n == 0:
		d.ended(l, errEnded)
		return
	}
	d.sh.stats.Bytes += int64(n)
	d.from = l
	d.alive()
	if err := l.take(buf[:n]); err != nil {
		d.ended(l, err)
		return
	}
	if d.has(l) {
		l.reply()
	}
}

// reply sends the ack and the echo that the read calls for, in one write.
func (l *light) reply() {
	d := l.d
	if d.conn != l {
		l.replyOld()
		return
	}
	acks := d.ackDue > 0 && d.kind != sseKind && (d.sh.cfg.AckAfter == 0 || int(d.unacked) >= d.sh.halfWindow(d.kind))
	if !acks && !l.echo {
		return
	}
	var room [128]byte
	b := room[:0]
	if acks {
		var frame [64]byte
		b = appendFrame(b, l.op(), ackFrame(d.kind, frame[:0], d.seq))
		d.sh.acked(d)
	}
	if l.echo {
		b = appendFrame(b, l.op(), nil)
		l.echo = false
	}
	l.send(b)
}

// replyOld acks and echoes on the old stream of a move.
func (l *light) replyOld() {
	o := l.d.old
	var b []byte
	if o.unacked && l.d.kind != sseKind {
		b = appendFrame(b, l.op(), ackFrame(l.d.kind, nil, o.seq))
	}
	if o.unacked = false; l.echo {
		b = appendFrame(b, l.op(), nil)
		l.echo = false
	}
	if len(b) > 0 {
		l.send(b)
	}
}

// take parses b, behind the rest of the read before.
func (l *light) take(b []byte) error {
	l.d.from = l
	if l.chunks != nil {
		var err error
		if b, err = l.chunks.decode(b); err != nil {
			return err
		}
	}
	if len(l.rest) > 0 {
		l.rest = append(l.rest, b...)
		b = l.rest
	}
	taken, err := l.parse(b)
	if err != nil {
		return err
	}
	if taken == len(b) {
		l.rest = nil
	} else {
		l.rest = append([]byte(nil), b[taken:]...)
	}
	if len(l.rest) > 2*maxMessage {
		return malformed("an event over %d bytes", 2*maxMessage)
	}
	return nil
}

func (l *light) parse(b []byte) (int, error) {
	behind := 0
	if !l.headed {
		a, err := answer(b)
		if err != nil || a.length == 0 {
			return 0, err
		}
		if l.d.kind == sseKind && a.status != 200 || l.d.kind != sseKind && a.status != 101 {
			return 0, statusError(a.status)
		}
		l.headed, l.deflate = true, a.deflate
		if behind = a.length; a.chunked {
			l.chunks = new(chunks)
			body, err := l.chunks.decode(b[behind:])
			if err != nil {
				return 0, err
			}
			n, err := sse(body, l.d)
			if err != nil {
				return 0, err
			}
			l.rest = append([]byte(nil), body[n:]...)
			return len(b), nil
		}
	}
	var n int
	var err error
	if l.d.kind == sseKind {
		n, err = sse(b[behind:], l.d)
	} else {
		n, err = websocket(b[behind:], l)
	}
	return behind + n, err
}
