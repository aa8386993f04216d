package sock

import (
	"log/slog"
	"net"
	"sync/atomic"
	"time"
)

// Reserve is l, but for the connections that would take the process's last descriptors: those are closed at once. Without
// it, whoever opens enough connections takes from the store the files that it writes to, and stops every publish.
//
// A descriptor's number tells how many are in use: the system gives out the lowest that is free. keep is how many are kept
// back; where it is 0 or the system has no such limit, l itself is answered.
func Reserve(l net.Listener, keep int, log *slog.Logger) net.Listener {
	most := descriptors()
	if keep <= 0 || most <= 0 {
		return l
	}
	return &reserved{Listener: l, most: max(most-keep, 1), log: log}
}

// ReserveFor is how many descriptors are worth keeping for the rest of a process: an eighth of all, 128 to 1,024.
func ReserveFor() int { return min(max(descriptors()/8, 128), 1024) }

// MostConnections is how many connections the process's open files allow beside those that are kept for the rest of it.
func MostConnections() int {
	if most := descriptors(); most > 0 {
		return max(most-ReserveFor(), 1)
	}
	return 1 << 20 // no such limit is known
}

// reserved is a listener that leaves descriptors for others.
type reserved struct {
	net.Listener
	most int
	log  *slog.Logger
	said atomic.Int64 // Unix s of the last line in the log
}

// sayAgain is how often that is logged, in s.
const sayAgain = 10

// Accept implements net.Listener.
func (r *reserved) Accept() (net.Conn, error) {
	for {
		c, err := r.Listener.Accept()
		if err != nil || !r.isShort(descriptor(c)) {
			return c, err
		}
		c.Close()
	}
}

// isShort reports, and logs, that a connection has one of the descriptors that are kept for others.
func (r *reserved) isShort(fd int) bool {
	if fd < r.most {
		return false
	}
	if now, said := time.Now().Unix(), r.said.Load(); now-said >= sayAgain && r.said.CompareAndSwap(said, now) {
		r.log.Warn("connections are closed at once: open files run short; raise their limit, or set limits on streams below it", "addr", r.Addr(), "limit", r.most)
	}
	return true
}
