package tcpconn

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// Of is c, with calls that are not announced where it is a *net.TCPConn.
func Of(c net.Conn) net.Conn {
	t, is := c.(*net.TCPConn)
	if !is {
		return c
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return c
	}
	n := &conn{Conn: t, raw: raw}
	n.read.do, n.write.do = n.readNow, n.writeNow
	return n
}

// conn is a connection of Of's. It hides what else a net.TCPConn can.
type conn struct {
	net.Conn
	raw         syscall.RawConn
	read, write call
}

// call is a read or a write under way.
type call struct {
	mu sync.Mutex
	// guarded by mu
	do    func(fd uintptr) bool // makes it once; false: it would block. Made once: it allocates
	b     []byte
	n     int
	errno syscall.Errno
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	r := &c.read
	r.mu.Lock()
	defer r.mu.Unlock()
	r.b = b
	err := c.raw.Read(r.do)
	n, errno := r.n, r.errno
	r.b, r.n, r.errno = nil, 0, 0
	switch {
	case err != nil:
		return 0, c.fault("read", err)
	case errno != 0:
		return 0, c.fault("read", os.NewSyscallError("read", errno))
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (written int, err error) {
	w := &c.write
	w.mu.Lock()
	defer w.mu.Unlock()
	for written < len(b) && err == nil {
		w.b = b[written:]
		err = c.raw.Write(w.do)
		n, errno := w.n, w.errno
		w.b, w.n, w.errno = nil, 0, 0
		if err == nil && errno != 0 {
			err = os.NewSyscallError("write", errno)
		}
		written += n
	}
	if err != nil {
		err = c.fault("write", err)
	}
	return written, err
}

func (c *conn) readNow(fd uintptr) bool  { return c.read.now(syscall.SYS_READ, fd) }
func (c *conn) writeNow(fd uintptr) bool { return c.write.now(syscall.SYS_WRITE, fd) }

// now makes the call, with mu held.
func (r *call) now(trap, fd uintptr) bool {
	r.announce(trap)
	for {
		n, _, errno := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(r.b))), uintptr(len(r.b)))
		switch errno {
		case 0:
			r.n = int(n)
			r.announced(trap, fd)
			return true
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			r.errno = errno
			return true
		}
	}
}

// fault is an error as net has it.
func (c *conn) fault(op string, err error) error {
	if e, is := err.(*net.OpError); is { // of the RawConn, whose op is raw-read or raw-write
		err = e.Err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
