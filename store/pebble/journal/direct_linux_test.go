package journal

import (
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"ramen/store/pebble/datasync"
)

// directJournal is a journal on the operating system's disk that writes past its cache.
func directJournal(t *testing.T, cfg Config) *Journal {
	t.Helper()
	j, err := Open(cfg, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	o, ok := j.current.out.(*fdOutput)
	if ok = ok && o.direct >= 0 && j.writing.waits(); ok { // tmpfs and overlays open it, and refuse then
		err = j.writing.write(o.direct, j.current.file, [][]byte{zeros[:pageSize]}, pageSize) // as it is
		ok = !errors.Is(err, datasync.ErrUnsupported)
	}
	if !ok {
		closed(t, j)
		t.Skip("this file system cannot be written past the kernel's cache")
	}
	return j
}

// TestRecordsComeBackByAnyWayOfWriting: past the kernel's cache, through it where they are too large or end with the segment, and
// both in turn, over segments that held others before.
func TestRecordsComeBackByAnyWayOfWriting(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	cfg := testConfig(vfs.Default)
	cfg.Dir, cfg.SegmentBytes, cfg.MaxSegments = t.TempDir(), 1<<20, 3
	j := directJournal(t, cfg)
	var want [][]byte
	var first uint64 = 1
	direct, through := 0, 0
	for i := range 400 {
		if err := j.Prepare(nil); err != nil {
			t.Fatal(err)
		}
		n := rng.IntN(9000)
		switch rng.IntN(40) {
		case 0:
			n = mostDirect + rng.IntN(mostDirect)
		case 1:
			n = int(j.size.Load()-j.used.Load()) - headerSize - rng.IntN(pageSize) // to the end, or nearly
		}
		payload := make([]byte, max(n, 0))
		for k := range payload {
			payload[k] = byte(rng.Uint32())
		}
		number, err := j.Write(payload[:len(payload)/3], payload[len(payload)/3:])
		if err != nil {
			t.Fatalf("record %d of %d bytes: %v", i, len(payload), err)
		}
		if j.writing.lastOf != nil {
			direct++
		} else {
			through++
		}
		if number > first+1 { // written over soon
			j.Release(number - 1)
			first, want = number, want[:0]
		}
		want = append(want, payload)
	}
	if direct == 0 || through == 0 {
		t.Fatalf("%d records past the cache, %d through it: one way was not tried", direct, through)
	}
	closed(t, j)
	j, got, err := open(cfg, first)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d records behind segment %d, want %d", len(got), first, len(want))
	}
	for i := range got {
		if got[i] != string(want[i]) {
			t.Fatalf("record %d behind segment %d, %d bytes, is not what was written", i, first, len(got[i]))
		}
	}
	closed(t, j)
}

// TestFileSystemThatRefusesIsWrittenAsEver: a descriptor that cannot be written to stands for a file system that takes no direct
// writes.
func TestFileSystemThatRefusesIsWrittenAsEver(t *testing.T) {
	cfg := testConfig(vfs.Default)
	cfg.Dir = t.TempDir()
	j := directJournal(t, cfg)
	o := j.current.out.(*fdOutput)
	o.closeDirect()
	d, err := os.Open(cfg.Dir) // EINVAL or EBADF to a write
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	fd, err := unix.Dup(int(d.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	o.direct = fd
	for i := range 5 {
		write(t, j, record(i, 300))
	}
	if o.direct >= 0 {
		t.Error("it is tried again")
	}
	closed(t, j)
	j, got, err := open(cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	want(t, got, 5)
	closed(t, j)
}

func TestSteadyWriteAllocatesNothing(t *testing.T) {
	cfg := testConfig(vfs.Default)
	cfg.Dir, cfg.SegmentBytes = t.TempDir(), FirstBytes
	j := directJournal(t, cfg)
	defer closed(t, j)
	payload := []byte(record(0, 500))
	if n := testing.AllocsPerRun(100, func() {
		if _, err := j.Write(payload); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Fatalf("%v allocations a record", n)
	}
}

func TestCloseGivesBackEveryDescriptor(t *testing.T) {
	count := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("open descriptors cannot be counted here: ", err)
		}
		return len(d)
	}
	cfg := testConfig(vfs.Default)
	cfg.Dir = t.TempDir()
	closed(t, directJournal(t, cfg)) // whatever the runtime opens with its first
	before := count()
	for range 20 {
		cfg.Dir = t.TempDir()
		j := directJournal(t, cfg)
		write(t, j, record(0, 300))
		next(t, j)
		write(t, j, record(1, 300))
		closed(t, j)
	}
	if after := count(); after > before {
		t.Fatalf("%d descriptors, %d before", after, before)
	}
}
