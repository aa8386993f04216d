package sock

import (
	"net"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Room is what a socket has while poll(2) calls it writable: less than half of Config.NotSentLowat is unsent, and the send
// buffer is not full. The kernel takes more than that: TCP_NOTSENT_LOWAT is looked at when a write needs a new segment, and with
// segmentation offload a segment holds 64 KB, whatever the socket's peer is. So a write that was taken says little. Who wants to
// know what a message of high priority would wait behind asks for room, every askAfter bytes.
const (
	askAfter = 4 << 10 // bytes written between two questions
	askUnit  = 256     // in which epollConn counts them
)

var noTime unix.Timespec

// hasRoom is poll(2) with a timeout of 0. Where it answers false, EPOLLOUT will come once there is room.
func hasRoom(fd int) bool {
	p := unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&noTime)), 0, 0, 0)
	return errno != 0 || n > 0 // an error of the socket's own is the next write's to find
}

// Roomy is l, with connections whose Write returns only when their socket has room again: what the kernel holds beyond what is
// in flight is then little, and what is written behind it waits where it is seen. It is for servers that write by blocking.
func Roomy(l net.Listener, cfg Config) net.Listener {
	if cfg.NotSentLowat == 0 {
		return l
	}
	return roomyListener{l}
}

type roomyListener struct{ net.Listener }

// Accept implements net.Listener.
func (l roomyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			return &roomyConn{Conn: tcp, raw: raw}, nil
		}
	}
	return c, nil
}

// roomyConn waits for room after its writes. It hides what else a net.TCPConn can: of one whose socket it can get at, grpc keeps
// the options and statistics of the moment, 280 bytes for a page that is not served.
type roomyConn struct {
	net.Conn
	raw   syscall.RawConn
	fresh atomic.Int32 // bytes written since the socket was asked
}

// Write implements net.Conn.
func (c *roomyConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err == nil && c.fresh.Add(int32(n)) >= askAfter {
		c.fresh.Store(0)
		err = c.raw.Write(roomNow)
	}
	return n, err
}

func roomNow(fd uintptr) bool { return hasRoom(int(fd)) }

// NetConn is the connection below.
func (c *roomyConn) NetConn() net.Conn { return c.Conn }
