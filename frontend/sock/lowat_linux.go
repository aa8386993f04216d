package sock

import (
	"net"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A socket is writable while poll(2) says so: less than half of Config.NotSentLowat is unsent, and the send buffer is not full.
// The kernel takes more than that: it looks at TCP_NOTSENT_LOWAT when a write needs a new segment, and with segmentation offload
// a segment holds 64 KB, whatever the peer is. So a write that was taken says little. Who wants to know what a message of high
// priority would wait behind asks whether the socket is writable, every checkAfter bytes.
const (
	checkAfter = 4 << 10 // bytes written between two questions
	checkUnit  = 256     // in which epollConn counts them
)

var noTime unix.Timespec

// isWritable is poll(2) with a timeout of 0. Where it answers false, EPOLLOUT will come once the socket is writable.
func isWritable(fd int) bool {
	p := unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&noTime)), 0, 0, 0)
	return errno != 0 || n > 0 // an error of the socket's own is the next write's to find
}

// BoundUnsent is l, with connections whose Write returns only when their socket is writable again: what the kernel holds beyond
// what is in flight is then little, and what is written behind it waits where it is seen. It is for servers that write by blocking.
func BoundUnsent(l net.Listener, cfg Config) net.Listener {
	if cfg.NotSentLowat == 0 {
		return l
	}
	return lowatListener{l}
}

type lowatListener struct{ net.Listener }

// Accept implements net.Listener.
func (l lowatListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			return &lowatConn{Conn: tcp, raw: raw}, nil
		}
	}
	return c, nil
}

// lowatConn waits after its writes until its socket is writable. It hides what else a net.TCPConn can: of one whose socket it can get at, grpc keeps
// the options and statistics of the moment, 280 bytes for a page that is not served.
type lowatConn struct {
	net.Conn
	raw   syscall.RawConn
	fresh atomic.Int32 // bytes written since the socket was last asked
}

// Write implements net.Conn.
func (c *lowatConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err == nil && c.fresh.Add(int32(n)) >= checkAfter {
		c.fresh.Store(0)
		err = c.raw.Write(writableNow)
	}
	return n, err
}

func writableNow(fd uintptr) bool { return isWritable(int(fd)) }

// NetConn is the connection below.
func (c *lowatConn) NetConn() net.Conn { return c.Conn }
