//go:build !linux

package sock

import "net"

// epollSet does not exist here: NewLoop gets none, and every connection has its goroutine.
type epollSet struct{}

func newEpollSet(Config) (*epollSet, error)               { return nil, nil }
func (*epollSet) add(*net.TCPConn, Handler) (Conn, error) { return nil, net.ErrClosed }
func (*epollSet) size() int                               { return 0 }
func (*epollSet) len() int                                { return 0 }
func (*epollSet) check() error                            { return nil }
func (*epollSet) unsent() bool                            { return false }
func (*epollSet) close() error                            { return nil }
