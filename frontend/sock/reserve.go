package sock

import (
	"log/slog"
	"net"
	"sync/atomic"
	"time"
)

// ReserveDescriptors is l, but it closes connections that would take the process's last n descriptors. Without it, whoever opens
// enough connections takes from the store the files that it writes to, and stops every publish.
//
// A descriptor's number tells how many are in use: the system gives out the lowest that is free. Where n is 0 or the system has
// no such limit, l itself is answered.
func ReserveDescriptors(l net.Listener, n int, log *slog.Logger) net.Listener {
	limit := descriptors()
	if n <= 0 || limit <= 0 {
		return l
	}
	return &reservingListener{Listener: l, most: max(limit-n, 1), log: log}
}

// DescriptorsToReserve is how many descriptors are worth reserving for the rest of a process: an eighth of all, 128 to 1,024.
func DescriptorsToReserve() int { return min(max(descriptors()/8, 128), 1024) }

// MaxConnections is how many connections the process's open files allow beside those that are reserved.
func MaxConnections() int {
	if limit := descriptors(); limit > 0 {
		return max(limit-DescriptorsToReserve(), 1)
	}
	return 1 << 20 // no such limit is known
}

// reservingListener is a listener that leaves descriptors for others.
type reservingListener struct {
	net.Listener
	most   int // descriptors numbered from here on are reserved
	log    *slog.Logger
	logged atomic.Int64 // Unix s of the last line in the log
}

// logEvery is how often closed connections are logged, in s.
const logEvery = 10

// Accept implements net.Listener.
func (r *reservingListener) Accept() (net.Conn, error) {
	for {
		c, err := r.Listener.Accept()
		if err != nil || !r.isReserved(descriptor(c)) {
			return c, err
		}
		c.Close()
	}
}

// isReserved reports, and logs, that a connection has a reserved descriptor.
func (r *reservingListener) isReserved(fd int) bool {
	if fd < r.most {
		return false
	}
	if now, logged := time.Now().Unix(), r.logged.Load(); now-logged >= logEvery && r.logged.CompareAndSwap(logged, now) {
		r.log.Warn("new connections closed: too few open files left; raise their limit, or set limits on streams below it", "addr", r.Addr(), "limit", r.most)
	}
	return true
}
