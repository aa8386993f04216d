package datasync

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Syncer syncs files. Make one with New.
type Syncer struct {
	ctx  uintptr  // the kernel's aio context
	done *os.File // an eventfd: readable when a sync has ended
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
	return &Syncer{ctx: ctx, done: os.NewFile(uintptr(fd), "eventfd")}, nil
}

// Sync returns once everything that was written to the file before is on the disk, or with what the kernel reported: then
// some of it may never get there. An error that wraps ErrUnsupported means that nothing was done.
func (s *Syncer) Sync(fd uintptr) error {
	if err := s.submit(fd); err != nil {
		return fmt.Errorf("%w: io_submit: %w", ErrUnsupported, err)
	}
	var n [8]byte
	if _, err := s.done.Read(n[:]); err != nil {
		return fmt.Errorf("store/pebble/datasync: wait for the disk: %w", err)
	}
	return s.result()
}

func (s *Syncer) submit(fd uintptr) error {
	resFD, err := s.done.SyscallConn()
	if err != nil {
		return err
	}
	var errno unix.Errno
	err = resFD.Control(func(done uintptr) {
		cb := &iocb{opcode: opFDSync, fd: uint32(fd), flags: flagResFD, resFD: uint32(done)}
		list := [1]*iocb{cb}
		_, _, errno = unix.Syscall(unix.SYS_IO_SUBMIT, s.ctx, 1, uintptr(unsafe.Pointer(&list)))
	})
	if errno != 0 {
		return errno
	}
	return err
}

// result takes the event that the eventfd told of.
func (s *Syncer) result() error {
	var ev event
	var now unix.Timespec
	n, _, errno := unix.Syscall6(unix.SYS_IO_GETEVENTS, s.ctx, 1, 1, uintptr(unsafe.Pointer(&ev)), uintptr(unsafe.Pointer(&now)), 0)
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
	return s.done.Close()
}

func destroy(ctx uintptr) { _, _, _ = unix.Syscall(unix.SYS_IO_DESTROY, ctx, 0, 0) }
