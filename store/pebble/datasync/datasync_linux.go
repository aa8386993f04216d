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
}

// iocb is struct iocb of linux/aio_abi.h, for little-endian machines.
type iocb struct {
	data    uint64
	key     uint32
	rwFlags uint32
	opcode  uint16
	prio    int16
	fd      uint32
	buf     uint64
	bytes   uint64
	offset  int64
	_       uint64
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
		_, _, s.errno = unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&s.count)), unsafe.Sizeof(s.count))
		return s.errno != unix.EAGAIN && s.errno != unix.EINTR
	}
	return s, nil
}

// Sync returns once everything that was written to the file before is on the disk, or with what the kernel reported: then
// some of it may never get there. An error that wraps ErrUnsupported means that nothing was done.
func (s *Syncer) Sync(fd uintptr) error {
	if err := s.submit(fd); err != nil {
		return fmt.Errorf("%w: io_submit: %w", ErrUnsupported, err)
	}
	err := s.raw.Read(s.ended)
	if err == nil && s.errno != 0 {
		err = s.errno
	}
	if err != nil {
		return fmt.Errorf("store/pebble/datasync: wait for the disk: %w", err)
	}
	return s.result()
}

func (s *Syncer) submit(fd uintptr) error {
	cb := &iocb{opcode: opFDSync, fd: uint32(fd), flags: flagResFD, resFD: s.fd}
	list := [1]*iocb{cb}
	if _, _, errno := unix.RawSyscall(unix.SYS_IO_SUBMIT, s.ctx, 1, uintptr(unsafe.Pointer(&list))); errno != 0 {
		return errno
	}
	return nil
}

// result takes the event that the eventfd told of.
func (s *Syncer) result() error {
	var ev event
	var now unix.Timespec
	n, _, errno := unix.RawSyscall6(unix.SYS_IO_GETEVENTS, s.ctx, 1, 1, uintptr(unsafe.Pointer(&ev)), uintptr(unsafe.Pointer(&now)), 0)
	switch {
	case errno != 0:
		return fmt.Errorf("store/pebble/datasync: read the outcome: %w", errno)
	case n != 1:
		return fmt.Errorf("store/pebble/datasync: read the outcome: %d of them are there, not 1", n)
	case ev.res < 0:
		return fmt.Errorf("store/pebble/datasync: fdatasync: %w", unix.Errno(-ev.res))
	}
	return nil
}

// Close gives up what the Syncer holds. No Sync may be under way.
func (s *Syncer) Close() error {
	destroy(s.ctx)
	return s.file.Close()
}

func destroy(ctx uintptr) { _, _, _ = unix.Syscall(unix.SYS_IO_DESTROY, ctx, 0, 0) }
