package datasync

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

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
		if err := s.submit(f.Fd()); err != nil {
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

// BenchmarkSync is a write of 4 KiB over what is there and its sync; Fdatasync is the blocking call.
func BenchmarkSync(b *testing.B) {
	s, f := newSyncer(b), newFile(b)
	for name, sync := range map[string]func() error{
		"aio":       func() error { return s.Sync(f.Fd()) },
		"fdatasync": func() error { return syscall.Fdatasync(int(f.Fd())) },
	} {
		b.Run(name, func(b *testing.B) {
			page := make([]byte, 4096)
			for i := range b.N {
				if _, err := f.WriteAt(page, int64(i%256)*4096); err != nil {
					b.Fatal(err)
				}
				if err := sync(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
