package datasync

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func newSyncer(tb testing.TB) *Syncer {
	s, err := New()
	if errors.Is(err, ErrUnsupported) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func newFile(tb testing.TB) *os.File {
	f, err := os.Create(filepath.Join(tb.TempDir(), "file"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	return f
}

func TestSyncsOneAfterTheOther(t *testing.T) {
	s, f := newSyncer(t), newFile(t)
	for range 100 {
		if _, err := f.Write(make([]byte, 5000)); err != nil {
			t.Fatal(err)
		}
		if err := s.Sync(f.Fd()); err != nil {
			t.Fatal(err)
		}
	}
}

// aligned is n bytes at an address for Write.
func aligned(n int, fill byte) []byte {
	b := make([]byte, n+Block)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (Block - 1)
	b = b[skip : skip+n]
	for i := range b {
		b[i] = fill
	}
	return b
}

// newDirect is a file of size zeros, and a descriptor for Write.
func newDirect(tb testing.TB, size int) (f *os.File, direct uintptr) {
	f = newFile(tb)
	if _, err := f.Write(make([]byte, size)); err != nil {
		tb.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		tb.Fatal(err)
	}
	fd, err := OpenDirect(f.Fd())
	if errors.Is(err, ErrUnsupported) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { unix.Close(fd) })
	return f, uintptr(fd)
}

func TestWritesAreSeenByWhoReads(t *testing.T) {
	const blocks = 64
	s := newSyncer(t)
	f, direct := newDirect(t, blocks*Block)
	want := make([]byte, blocks*Block)
	for i := range 100 { // between syncs, over what is in the kernel's cache and what is not
		at, n := i*7%(blocks-4), 1+i%4
		b := aligned(n*Block, byte(i))
		if err := s.Write(direct, b, int64(at*Block)); errors.Is(err, ErrUnsupported) {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		copy(want[at*Block:], b)
		if err := s.Sync(f.Fd()); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := f.ReadAt(got, 0); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("write %d of %d blocks at %d is not what is read", i, n, at)
		}
	}
}

func TestWriteThatDoesNotFitIsUnsupported(t *testing.T) {
	s := newSyncer(t)
	f, direct := newDirect(t, 4*Block)
	b := aligned(2*Block, 7)
	for name, err := range map[string]error{
		"a length":  s.Write(direct, b[:Block+100], 0),
		"an offset": s.Write(direct, b[:Block], 100),
	} {
		if err == nil || errors.Is(err, io.ErrShortWrite) {
			t.Skip("this file system takes what does not fit (btrfs: by way of its cache)")
		}
		if !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s that is no whole block: %v", name, err)
		}
	}
	if got, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(got, make([]byte, 4*Block)) {
		t.Fatalf("something was written, or cannot be read: %v", err)
	}
	if err := s.Write(1<<30, b, 0); !errors.Is(err, syscall.EBADF) {
		t.Fatalf("a descriptor that is none: %v", err)
	}
	if err := s.Write(direct, b, 0); errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
}

func TestWriteAllocatesNothing(t *testing.T) {
	s := newSyncer(t)
	_, direct := newDirect(t, 4*Block)
	b := aligned(Block, 7)
	if err := s.Write(direct, b, 0); err != nil {
		t.Skip(err)
	}
	if n := testing.AllocsPerRun(50, func() {
		if err := s.Write(direct, b, Block); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Fatalf("%v allocations a write", n)
	}
}

func TestErrorsAreTold(t *testing.T) {
	s, f := newSyncer(t), newFile(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if err := s.Sync(w.Fd()); err == nil {
		t.Fatal("a pipe was synced")
	}
	if err := s.Sync(1 << 30); !errors.Is(err, syscall.EBADF) {
		t.Fatalf("a descriptor that is none: %v", err)
	}
	if err := s.Sync(f.Fd()); err != nil { // and what follows is not mistaken for it
		t.Fatal(err)
	}
}

// TestAnOutcomeIsNotTakenForAnother: a sync that nobody waited for to its end is told of before the next one's end.
func TestAnOutcomeIsNotTakenForAnother(t *testing.T) {
	s, f := newSyncer(t), newFile(t)
	tell := func(n uint64) {
		err := s.raw.Control(func(fd uintptr) {
			if _, err := unix.Write(int(fd), binary.NativeEndian.AppendUint64(nil, n)); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		if err := s.submit(iocb{opcode: opFDSync, fd: uint32(f.Fd())}, false); err != nil {
			t.Skip(err)
		}
		if err := s.wait(); err != nil { // its outcome stays where it is
			t.Fatal(err)
		}
		tell(1)
		if err := s.Sync(f.Fd()); err != nil {
			t.Fatal(err)
		}
		if s.ev.data != s.asked {
			t.Fatalf("sync %d was answered for sync %d", s.asked, s.ev.data)
		}
		tell(3) // of nothing: the next wait ends at once, and the outcome that it waits for may come behind a later one
	}
}

func TestCloseGivesBackDescriptors(t *testing.T) {
	count := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("open descriptors cannot be counted here: ", err)
		}
		return len(d)
	}
	newSyncer(t) // whatever the runtime opens with its first
	before := count()
	for range 50 {
		s, err := New()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := count(); after > before {
		t.Fatalf("%d descriptors, %d before", after, before)
	}
}

// BenchmarkSync is a write of 4 KiB over what is there and its sync: direct is both in one, fdatasync the blocking call.
func BenchmarkSync(b *testing.B) {
	s := newSyncer(b)
	f, direct := newDirect(b, 256*Block)
	page := aligned(Block, 7)
	through := func(page []byte, at int64, sync func() error) error {
		if _, err := f.WriteAt(page, at); err != nil {
			return err
		}
		return sync()
	}
	for name, write := range map[string]func(at int64) error{
		"aio": func(at int64) error { return through(page, at, func() error { return s.Sync(f.Fd()) }) },
		"fdatasync": func(at int64) error {
			return through(page, at, func() error { return syscall.Fdatasync(int(f.Fd())) })
		},
		"direct": func(at int64) error { return s.Write(direct, page, at) },
	} {
		b.Run(name, func(b *testing.B) {
			for i := range b.N {
				if err := write(int64(i%256) * Block); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBusyProcessor is a write of 4 KiB that is on the disk, beside a goroutine that always has work: cpu-µs/op is what a
// write costs the process beyond that work. aio is Write; the others block: past the kernel's cache, and through it.
func BenchmarkBusyProcessor(b *testing.B) {
	s := newSyncer(b)
	f, direct := newDirect(b, 256*Block)
	page := aligned(Block, 7)
	blocking := func(fd int) func(at int64) error {
		return func(at int64) error {
			_, err := unix.Pwritev2(fd, [][]byte{page}, at, unix.RWF_DSYNC)
			return err
		}
	}
	for _, c := range []struct {
		name  string
		write func(at int64) error
	}{
		{"aio", func(at int64) error { return s.Write(direct, page, at) }},
		{"pwritev2/direct", blocking(int(direct))},
		{"pwritev2/cached", blocking(int(f.Fd()))},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := startWork(b)
			began, units := cpuTime(b), w.units.Load()
			for i := range b.N {
				if err := c.write(int64(i%256) * Block); err != nil {
					b.Fatal(err)
				}
			}
			spent := cpuTime(b) - began - time.Duration(float64(w.units.Load()-units)*w.unit)
			w.stop()
			b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// work is a goroutine that always has some, in units of a few µs.
type work struct {
	unit  float64 // ns of the process, with nothing beside it
	units atomic.Int64
	over  atomic.Bool
	done  chan struct{}
}

func startWork(b *testing.B) *work {
	w := &work{done: make(chan struct{})}
	measured := make(chan struct{})
	go func() {
		defer close(w.done)
		const trial = 50_000
		for range trial {
			w.do()
		}
		began := cpuTime(b)
		for range trial {
			w.do()
		}
		w.unit = float64(cpuTime(b)-began) / trial
		close(measured)
		for !w.over.Load() {
			w.do()
		}
	}()
	<-measured
	return w
}

func (w *work) do() {
	n := int64(1)
	for i := range int64(10_000) {
		n = n*31 + i
	}
	w.units.Add(n&1 | 1) // n is used
	runtime.Gosched()
}

func (w *work) stop() {
	w.over.Store(true)
	<-w.done
}

// cpuTime is the user and system time of the process.
func cpuTime(b *testing.B) time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		b.Error(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
