package netspace

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Space is a network namespace of its own.
type Space struct{ fd *os.File }

// New makes a namespace and runs first in it: what opens its device.
func New(first func() error) (*Space, error) {
	made := make(chan error)
	s := &Space{}
	go func() {
		runtime.LockOSThread() // for good: see invariant 2
		made <- s.enterNew(first)
	}()
	if err := <-made; err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Space) enterNew(first func() error) error {
	err := unix.Unshare(unix.CLONE_NEWNET)
	if errors.Is(err, unix.EPERM) {
		return errors.New("netspace: make a network namespace: not permitted: run as root, or with CAP_SYS_ADMIN")
	}
	if err != nil {
		return fmt.Errorf("netspace: make a network namespace: %w", err)
	}
	if s.fd, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return fmt.Errorf("netspace: make a network namespace: %w", err)
	}
	return first()
}

// Close gives the namespace up. It goes with the last process in it.
func (s *Space) Close() error {
	if s.fd == nil {
		return nil
	}
	return s.fd.Close()
}

// Enter puts the calling thread into the namespace. The caller has locked it, and never unlocks it: the thread ends with its
// goroutine.
func (s *Space) Enter() error {
	if err := unix.Setns(int(s.fd.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("netspace: enter a network namespace: %w", err)
	}
	return nil
}

// Do runs f in the namespace. Sockets and processes that f makes stay in it; goroutines do not.
func (s *Space) Do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: see invariant 2
		err := s.Enter()
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// Dial connects from within the namespace. addr is an address, no name.
func (s *Space) Dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	err = s.Do(func() error {
		c, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

// Listen listens within the namespace. addr is an address, no name.
func (s *Space) Listen(ctx context.Context, network, addr string) (l net.Listener, err error) {
	err = s.Do(func() error {
		l, err = new(net.ListenConfig).Listen(ctx, network, addr)
		return err
	})
	return l, err
}
