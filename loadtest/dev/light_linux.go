package dev

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"ramen/protocol"
)

// light is a stream that is a descriptor in an epoll set, and these bytes. Its shard guards it.
type light struct {
	d       *Device
	fd      int
	begun   bool   // the connection is there
	headed  bool   // the head of the answer is behind
	echo    bool   // a heartbeat is to be answered
	writing bool   // epoll waits for room
	rest    []byte // of what is incomplete
	joined  []byte // fragments of one message
	out     []byte // what the socket did not take
	chunks  *chunks
}

// dialLight opens a light stream. Called with mu held.
func (s *Shard) dialLight(d *Device, o *protocol.OpenFrame) {
	l := &light{d: d, fd: -1, out: s.head(d.kind, o)}
	d.line = l
	if err := s.connect(l); err != nil {
		d.ended(fmt.Errorf("dev: connect: %w", err))
	}
}

func (s *Shard) connect(l *light) error {
	p := s.loop.(*epoll)
	family := unix.AF_INET
	if p.addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	l.fd = fd
	// Acks are small and alone: they must not wait for each other.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if source, ok := s.source(p.addr.Addr()); ok {
		_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: source}); err != nil {
			return err
		}
	}
	err = unix.Connect(fd, p.sockaddr)
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return err
	}
	if err == nil {
		l.begun = true
		l.flush()
	}
	l.writing = !l.begun || len(l.out) > 0
	return p.add(l)
}

// perSource is how many connections share a source address: ephemeral ports are 28,000 by default.
const perSource = 15000

// source is where the next connection to a loopback address comes from: 127.0.0.1, 127.0.0.2, … in turn, so that
// ephemeral ports do not run out. Called with mu held.
func (s *Shard) source(to netip.Addr) ([4]byte, bool) {
	if !to.Is4() || !to.IsLoopback() {
		return [4]byte{}, false
	}
	s.sources++
	return [4]byte{127, 0, 0, byte(1 + (int(s.cfg.Users[0])/perSource+int(s.sources)/perSource)%250)}, true
}

// cut ends the connection with a reset, which leaves no port in TIME_WAIT on this side.
func (l *light) cut() {
	if l.fd >= 0 {
		_ = unix.SetsockoptLinger(l.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		l.d.sh.loop.(*epoll).remove(l)
		l.fd = -1
	}
}

// send writes b, or keeps what the socket does not take.
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
		l.out = nil // the reader will hear of it
	}
	if want := len(l.out) > 0; want != l.writing && l.begun {
		l.writing = want
		l.d.sh.loop.(*epoll).watch(l)
	}
}

// ack acks everything that came.
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

// readable takes what has come.
func (l *light) readable(buf []byte) {
	d := l.d
	n, err := unix.Read(l.fd, buf)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return
	case err != nil:
		d.ended(fmt.Errorf("dev: read: %w", err))
		return
	case n == 0:
		d.ended(errEnded)
		return
	}
	d.sh.stats.Bytes += int64(n)
	d.alive()
	if err := l.take(buf[:n]); err != nil {
		d.ended(err)
		return
	}
	if d.line == l {
		l.reply()
	}
}

// reply sends what the read calls for, in one write.
func (l *light) reply() {
	d := l.d
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

// take parses what has come, behind what was kept.
func (l *light) take(b []byte) error {
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
		n, status, chunked, err := answer(b)
		if err != nil || n == 0 {
			return 0, err
		}
		if l.d.kind == sseKind && status != 200 || l.d.kind != sseKind && status != 101 {
			return 0, statusError(status)
		}
		l.headed = true
		if behind = n; chunked {
			l.chunks = new(chunks)
			body, err := l.chunks.decode(b[n:])
			if err != nil {
				return 0, err
			}
			if n, err = sse(body, l.d); err != nil {
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

// resolve finds the address of a port.
func resolve(host string) (netip.AddrPort, error) {
	a, err := net.ResolveTCPAddr("tcp", host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	p := a.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port()), nil
}
