package sock

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Quiet is l, with connections that are read and written as raw_linux.go has it. It is for servers that read and write by
// blocking, such as grpc's: a publish stream of a message a millisecond had the scheduler's monitor wake 4,000 times a second.
func Quiet(l net.Listener) net.Listener { return quietListener{l} }

type quietListener struct{ net.Listener }

// Accept implements net.Listener.
func (l quietListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			return newQuietConn(tcp, raw), nil
		}
	}
	return c, nil
}

// quietConn makes its system calls itself, and waits in the runtime's poller as ever: deadlines and Close hold.
type quietConn struct {
	*net.TCPConn
	raw     syscall.RawConn
	in, out transfer
}

// transfer is one direction. Its function is made once: it would be an allocation a call.
type transfer struct {
	mu sync.Mutex // one at a time, as net's own
	// guarded by mu
	b    []byte
	n    int // bytes of b done
	err  error
	some func(fd uintptr) bool // does what can be done now; false: the poller is to wait
}

func newQuietConn(tcp *net.TCPConn, raw syscall.RawConn) *quietConn {
	c := &quietConn{TCPConn: tcp, raw: raw}
	c.in.some = func(fd uintptr) bool { return c.in.step(int(fd), readNow) || c.in.err != nil }
	c.out.some = func(fd uintptr) bool {
		for c.out.n < len(c.out.b) {
			if !c.out.step(int(fd), writeNow) {
				return c.out.err != nil
			}
		}
		return true
	}
	return c
}

// step makes one call, and reports whether something was done.
func (t *transfer) step(fd int, call func(int, []byte) (int, error)) bool {
	for {
		n, err := call(fd, t.b[t.n:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return false
		case err != nil:
			t.err = err
			return false
		case n == 0:
			t.err = io.EOF
			return false
		default:
			t.n += n
			return true
		}
	}
}

// do transfers b, by wait, which is RawConn's Read or Write.
func (t *transfer) do(b []byte, wait func(func(uintptr) bool) error) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b, t.n, t.err = b, 0, nil
	err := wait(t.some)
	t.b = nil
	if err == nil {
		err = t.err
	}
	return t.n, err
}

// Read implements net.Conn.
func (c *quietConn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err := c.in.do(b, c.raw.Read)
	return n, c.named("read", err)
}

// Write implements net.Conn.
func (c *quietConn) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err := c.out.do(b, c.raw.Write)
	return n, c.named("write", err)
}

// named is err as package net has it.
func (c *quietConn) named(op string, err error) error {
	if errno, ok := err.(unix.Errno); ok {
		return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(op, errno)}
	}
	return err
}

// ReadFrom implements io.ReaderFrom, which is the embedded connection's otherwise: nothing is gained by splice here.
func (c *quietConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{c}, r) }

// NetConn is the connection below.
func (c *quietConn) NetConn() net.Conn { return c.TCPConn }
