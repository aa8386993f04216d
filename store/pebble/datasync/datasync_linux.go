package datasync

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Syncer syncs files. Make one with New.
//
// Its system calls do not block, but for the one that begins a Write, and are made without telling Go's scheduler: announced, each
// may have its monitor look every 20 µs whether it has.
type Syncer struct {
	ctx   uintptr               // the kernel's aio context
	file  *os.File              // an eventfd: readable when a request has ended
	fd    uint32                // of file
	raw   syscall.RawConn       // of file
	count [8]byte               // of requests that have ended
	errno unix.Errno            // of reading count
	ended func(fd uintptr) bool // reads count; made once: it would be an allocation a sync

	asked uint64 // requests so far: what the kernel hands back with the outcome of each
	cb    iocb   // of the last one
	buf   []byte // what it writes: the kernel reads it until the outcome is there
	list  [1]*iocb
	ev    event
	now   unix.Timespec // no time at all
	known bool          // the files' system knows RWF_NOWAIT: one that does not may well ignore RWF_DSYNC past its cache
}

// iocb is struct iocb of linux/aio_abi.h, for little-endian machines.
type iocb struct {
	data    uint64
	_       uint32 // key
	rwFlags int32
	opcode  uint16
	_       int16 // reqprio
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
	opWrite   = 1 // IOCB_CMD_PWRITE
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
	if err := s.submit(iocb{opcode: opFDSync, fd: uint32(fd)}, false); err != nil {
		return fmt.Errorf("%w: io_submit: %w", ErrUnsupported, err)
	}
	switch res, err := s.awaitResult(); {
	case err != nil:
		return err
	case res < 0:
		return fmt.Errorf("store/pebble/datasync: fdatasync: %w", unix.Errno(-res))
	}
	return nil
}

// Write writes b at off, and returns once b is on the disk, or with what the kernel reported: then any of it may be there. It says
// nothing of what was written before. The descriptor is one of OpenDirect's; b's address and length, and off, are multiples of
// Block. An error that wraps ErrUnsupported means that nothing was written. All files of one Syncer are on one file system.
func (s *Syncer) Write(fd uintptr, b []byte, off int64) error {
	for done := 0; done < len(b); {
		s.buf = b[done:]
		cb := iocb{opcode: opWrite, rwFlags: unix.RWF_DSYNC, fd: uint32(fd), offset: off + int64(done),
			buf: uint64(uintptr(unsafe.Pointer(&s.buf[0]))), bytes: uint64(len(s.buf))}
		if !s.known {
			cb.rwFlags |= unix.RWF_NOWAIT
		}
		n, err := s.request(cb)
		switch {
		case errors.Is(err, unix.EINTR): // the same bytes to the same place: it does not matter what is there
		case errors.Is(err, unix.EAGAIN) && !s.known && !errors.Is(err, ErrUnsupported):
			s.known = true
		case err != nil && done > 0 && errors.Is(err, ErrUnsupported):
			return fmt.Errorf("store/pebble/datasync: write: %d of %d bytes: %v", done, len(b), err)
		case err != nil:
			return err
		case n == 0 || n%Block != 0:
			return fmt.Errorf("store/pebble/datasync: write: %d of %d bytes: %w", done+n, len(b), io.ErrShortWrite)
		default:
			s.known = true
			done += n
		}
	}
	return nil
}

// request is one write, or one try: it is for the caller to see to the rest. It is announced: even with RWF_NOWAIT, io_submit(2) waits
// until a frozen file system is thawed, and may for a commit of ext4's own journal; a goroutine that waits unannounced holds
// up the whole process, the collector first.
func (s *Syncer) request(cb iocb) (n int, err error) {
	if err := s.submit(cb, true); err != nil {
		return 0, fmt.Errorf("%w: io_submit: %w", ErrUnsupported, err)
	}
	res, err := s.awaitResult()
	if err != nil {
		return 0, err
	}
	if res >= 0 {
		return int(res), nil
	}
	err = fmt.Errorf("store/pebble/datasync: write: %w", unix.Errno(-res))
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		err = fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return 0, err
}

// OpenDirect opens the file of fd once more, for Write: what it writes does not go through the kernel's cache.
func OpenDirect(fd uintptr) (direct int, err error) {
	direct, err = unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_WRONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("%w: open without cache: %w", ErrUnsupported, err)
	}
	return direct, nil
}

// submit hands a request to the kernel; announced, because it may block.
func (s *Syncer) submit(cb iocb, announced bool) error {
	s.asked++
	cb.data, cb.flags, cb.resFD = s.asked, flagResFD, s.fd
	s.cb = cb
	s.list[0] = &s.cb
	var n uintptr
	var errno unix.Errno
	if announced {
		n, _, errno = unix.Syscall(unix.SYS_IO_SUBMIT, s.ctx, 1, uintptr(unsafe.Pointer(&s.list)))
	} else {
		n, _, errno = unix.RawSyscall(unix.SYS_IO_SUBMIT, s.ctx, 1, uintptr(unsafe.Pointer(&s.list)))
	}
	switch {
	case errno != 0:
		return errno
	case n != 1:
		return fmt.Errorf("%d were taken, not 1", n)
	}
	return nil
}

// awaitResult waits for the result of the last request.
func (s *Syncer) awaitResult() (res int64, err error) {
	for {
		if err := s.wait(); err != nil {
			return 0, fmt.Errorf("store/pebble/datasync: wait for the disk: %w", err)
		}
		for { // the count says that there may be outcomes, not of what
			there, err := s.outcome()
			if err != nil {
				return 0, fmt.Errorf("store/pebble/datasync: read the outcome: %w", err)
			}
			if !there {
				break
			}
			if s.ev.data == s.asked { // else of one that failed before its outcome was there
				return s.ev.res, nil
			}
		}
	}
}

// wait returns once a request has ended since it last did.
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
