package datasync

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Syncer syncs files. Make one with New.
//
// Its system calls do not block, and are made without telling Go's scheduler: announced, each may have its monitor look
// every 20 µs whether it has.
type Syncer struct {
	ctx   uintptr               // the kernel's aio context
	file  *os.File              // an eventfd: readable when a sync has ended
	fd    uint32                // of file
	raw   syscall.RawConn       // of file
	count [8]byte               // of syncs that have ended
	errno unix.Errno            // of reading count
	ended func(fd uintptr) bool // reads count; made once: it would be an allocation a sync

	asked uint64 // syncs so far: what the kernel hands back with the outcome of each
	cb    iocb   // of the last one
	list  [1]*iocb
	ev    event
	now   unix.Timespec // no time at all
}

// iocb is struct iocb of linux/aio_abi.h, for little-endian machines.
type iocb struct {
	data, _ uint64 // the second: key and aio_rw_flags
	opcode  uint16
	_       int16 // aio_reqprio
	fd      uint32
	_       [4]uint64 // aio_buf, aio_nbytes, aio_offset, aio_reserved2
	flags   uint32
	resFD   uint32
}

// event is struct io_event.
type event struct {
	data, obj uint64
	res, res2 int64
}

const (
	opFDSync  = 3 // IOCB_CMD_FDSYNC
	flagResFD = 1 // IOCB_FLAG_RESFD
)

// New makes a Syncer, or answers an error that wraps ErrUnsupported where the system has no such thing.
func New() (*Syncer, error) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return nil, fmt.Errorf("%w: big-endian machine", ErrUnsupported)
	}
	var ctx uintptr
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&ctx)), 0); errno != 0 {
		return nil, fmt.Errorf("%w: io_setup: %w", ErrUnsupported, errno)
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		destroy(ctx)
		return nil, fmt.Errorf("%w: eventfd: %w", ErrUnsupported, err)
	}
	s := &Syncer{ctx: ctx, fd: uint32(fd), file: os.NewFile(uintptr(fd), "eventfd")}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: eventfd: %w", ErrUnsupported, err), s.Close())
	}
	s.ended = func(fd uintptr) bool {
		s.errno = unix.EINTR
		for s.errno == unix.EINTR { // to wait after one would be to wait for the next count
			_, _, s.errno = unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&s.count)), unsafe.Sizeof(s.count))
		}
		return s.errno != unix.EAGAIN
	}
	return s, nil
}

// Sync returns once everything that was written to the file before is on the disk, or with what the kernel reported: then
// some of it may never get there. An error that wraps ErrUnsupported means that nothing was done.
func (s *Syncer) Sync(fd uintptr) error {
	if err := s.submit(fd); err != nil {
		return fmt.Errorf("%w: io_submit: %w", ErrUnsupported, err)
	}
	for {
		if err := s.wait(); err != nil {
			return fmt.Errorf("store/pebble/datasync: wait for the disk: %w", err)
		}
		for { // the count says that there may be outcomes, not of what
			there, err := s.outcome()
			if err != nil {
				return fmt.Errorf("store/pebble/datasync: read the outcome: %w", err)
			}
			if !there {
				break
			}
			if s.ev.data != s.asked {
				continue // of a Sync that failed before its outcome was there
			}
			if s.ev.res < 0 {
				return fmt.Errorf("store/pebble/datasync: fdatasync: %w", unix.Errno(-s.ev.res))
			}
			return nil
		}
	}
}

func (s *Syncer) submit(fd uintptr) error {
	s.asked++
	s.cb = iocb{data: s.asked, opcode: opFDSync, fd: uint32(fd), flags: flagResFD, resFD: s.fd}
	s.list[0] = &s.cb
	n, _, errno := unix.RawSyscall(unix.SYS_IO_SUBMIT, s.ctx, 1, uintptr(unsafe.Pointer(&s.list)))
	switch {
	case errno != 0:
		return errno
	case n != 1:
		return fmt.Errorf("%d were taken, not 1", n)
	}
	return nil
}

// wait returns once a sync has ended since it last did.
func (s *Syncer) wait() error {
	if err := s.raw.Read(s.ended); err != nil {
		return err
	}
	if s.errno != 0 {
		return s.errno
	}
	return nil
}

// outcome takes one, if there is one; it does not wait.
func (s *Syncer) outcome() (there bool, err error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_IO_GETEVENTS, s.ctx, 1, 1,
			uintptr(unsafe.Pointer(&s.ev)), uintptr(unsafe.Pointer(&s.now)), 0)
		switch errno {
		case 0:
			return n == 1, nil
		case unix.EINTR: // only where it took none
		default:
			return false, errno
		}
	}
}

// Close gives up what the Syncer holds. No Sync may be under way.
func (s *Syncer) Close() error {
	destroy(s.ctx)
	return s.file.Close()
}

func destroy(ctx uintptr) { _, _, _ = unix.Syscall(unix.SYS_IO_DESTROY, ctx, 0, 0) }
