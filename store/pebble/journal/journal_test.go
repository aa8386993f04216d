package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testSegment = 4 << 10

func testConfig(fs vfs.FS) Config {
	return Config{FS: fs, Dir: "", Secret: 0x5ec7e7, SegmentBytes: testSegment, MaxSegments: 4}
}

// reopen is what a journal has from first on.
func reopen(fs vfs.FS, first uint64) (j *Journal, records []string, err error) {
	return open(testConfig(fs), first)
}

func open(cfg Config, first uint64) (j *Journal, records []string, err error) {
	j, err = Open(cfg, first, func(_ uint64, payload []byte) error {
		records = append(records, string(payload))
		return nil
	})
	return j, records, err
}

func create(t *testing.T, fs vfs.FS) *Journal {
	t.Helper()
	j, _, err := reopen(fs, 0)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func write(t *testing.T, j *Journal, payload string) (segment uint64) {
	t.Helper()
	segment, err := j.Write([]byte(payload[:len(payload)/2]), []byte(payload[len(payload)/2:]))
	if err != nil {
		t.Fatal(err)
	}
	return segment
}

func next(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Prepare(nil); err != nil {
		t.Fatal(err)
	}
	if ok, err := j.Rotate(); !ok {
		t.Fatal("no rotation: ", err)
	}
}

// killed leaves the files as a killed process does.
func killed(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.closeFiles(); err != nil {
		t.Fatal(err)
	}
}

func closed(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// record is a payload of size bytes.
func record(n, size int) string {
	return fmt.Sprintf("%d:%s", n, strings.Repeat(string(rune('a'+n%26)), size))
}

// contents is the bytes of a segment, and set replaces them.
func contents(t *testing.T, fs *vfs.MemFS, number uint64) []byte {
	t.Helper()
	s, err := openSegment(fs, "", number, false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	b, err := readAll(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func set(t *testing.T, fs *vfs.MemFS, number uint64, b []byte) {
	t.Helper()
	f, err := fs.Create(segmentName(number), category)
	if err == nil {
		_, err = f.Write(bytes.Clone(b))
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, got []string, n int) {
	t.Helper()
	for i, r := range got {
		if r != record(i, len(r)-len(fmt.Sprint(i))-1) {
			t.Fatalf("record %d is %.40q", i, r)
		}
	}
	if len(got) != n {
		t.Fatalf("%d records, want %d", len(got), n)
	}
}

func TestRecordsComeBackOverSegments(t *testing.T) {
	for _, fs := range []vfs.FS{vfs.NewMem(), vfs.Default} {
		cfg := testConfig(fs)
		if fs == vfs.Default {
			cfg.Dir = t.TempDir()
		}
		j, err := Open(cfg, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		const n = 30
		for i := range n {
			if j.Wanting() {
				if err := j.Prepare(nil); err != nil && !errors.Is(err, ErrBehind) {
					t.Fatal(err)
				}
			}
			write(t, j, record(i, 500))
		}
		if last := j.Current(); last != 4 {
			t.Errorf("%d segments for %d records", last, n)
		}
		closed(t, j)
		j, got, err := open(cfg, 1)
		if err != nil {
			t.Fatal(err)
		}
		want(t, got, n)
		if j.Current() != 5 {
			t.Errorf("goes on in segment %d", j.Current())
		}
		closed(t, j)
	}
}

// TestTornTailIsLeftOut zeroes the last record from every byte on, and changes each: what is before it comes back, and what is
// left of it is told.
func TestTornTailIsLeftOut(t *testing.T) {
	fs := vfs.NewMem()
	j := create(t, fs)
	for i := range 3 {
		write(t, j, record(i, 20))
	}
	before := j.used.Load()
	write(t, j, record(3, 40))
	end := j.used.Load()
	killed(t, j)
	whole := contents(t, fs, 1)
	for at := before; at < end; at++ {
		cut := bytes.Clone(whole)
		clear(cut[at:])
		flipped := bytes.Clone(whole)
		flipped[at] ^= 0x10
		for name, b := range map[string][]byte{"zeroed": cut, "flipped": flipped} {
			fs := vfs.NewMem()
			set(t, fs, 1, b)
			cfg, notes := testConfig(fs), []Note(nil)
			cfg.Warn = func(n Note) { notes = append(notes, n) }
			j, got, err := open(cfg, 1)
			if err != nil {
				t.Fatalf("%s from %d: %v", name, at, err)
			}
			if len(got) == 4 && got[3] != record(3, 40) {
				t.Fatalf("%s from %d: last record %q", name, at, got[3])
			}
			want(t, got[:3], 3)
			if left := bytes.Count(b[before:end], []byte{0}) < int(end-before); len(got) == 3 && left && (len(notes) != 1 || notes[0].Record != 4) {
				t.Fatalf("%s from %d: notes %v", name, at, notes)
			}
			write(t, j, record(len(got), 10))
			killed(t, j)
			j, again, err := reopen(fs, 1)
			if err != nil || len(again) != len(got)+1 {
				t.Fatalf("%s from %d, and opened again: %d records, %v", name, at, len(again), err)
			}
			closed(t, j)
		}
	}
}

// TestDamageBeforeTheTailIsAnError changes every byte of every record that has another behind it.
func TestDamageBeforeTheTailIsAnError(t *testing.T) {
	fs := vfs.NewMem()
	j := create(t, fs)
	for i := range 3 {
		write(t, j, record(i, 21))
	}
	last := j.used.Load()
	write(t, j, record(3, 20))
	killed(t, j)
	whole := contents(t, fs, 1)
	used, at := make([]bool, last), int64(0) // but for the padding
	for at < last {
		r, err := readRecord(whole[at:], 0x5ec7e7, 1)
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(headerSize + len(r.payload)) {
			used[at+i] = true
		}
		at += recordSize(len(r.payload))
	}
	for at := range used {
		if !used[at] {
			continue
		}
		b := bytes.Clone(whole)
		b[at] ^= 1
		fs := vfs.NewMem()
		set(t, fs, 1, b)
		if _, _, err := reopen(fs, 1); err == nil || !strings.Contains(err.Error(), segmentName(1)) {
			t.Fatalf("byte %d of %d changed: %v", at, last, err)
		}
	}
}

func TestHoleInAnOlderSegmentIsAnError(t *testing.T) {
	build := func() *vfs.MemFS {
		fs := vfs.NewMem()
		j := create(t, fs)
		write(t, j, record(0, 20))
		write(t, j, record(1, 20))
		next(t, j)
		write(t, j, record(2, 20))
		next(t, j)
		write(t, j, record(3, 20))
		killed(t, j)
		return fs
	}
	fails := func(name string, fs vfs.FS, says string) {
		t.Helper()
		if _, _, err := reopen(fs, 1); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want one that names %s", name, err, says)
		}
	}
	fs := build()
	b := contents(t, fs, 1)
	clear(b[headRecord+recordSize(22):])
	set(t, fs, 1, b)
	fails("the last record of the first segment lost", fs, segmentName(1))
	fs = build()
	set(t, fs, 1, nil)
	fails("the first segment emptied", fs, segmentName(1))
	for _, n := range []uint64{1, 2} {
		fs = build()
		if err := fs.Remove(segmentName(n)); err != nil {
			t.Fatal(err)
		}
		fails(fmt.Sprint("segment ", n, " removed"), fs, segmentName(n))
	}
	fs = build()
	set(t, fs, 4, nil)
	if err := fs.Rename(segmentName(4), "journal-1"); err != nil {
		t.Fatal(err)
	}
	fails("a foreign name", fs, "journal-1")
	if _, _, err := reopen(build(), 0); err == nil {
		t.Error("a new journal opened over an old one")
	}
	j, got, err := reopen(build(), 2)
	if err != nil || len(got) != 2 {
		t.Fatalf("from the second on: %d records, %v", len(got), err)
	}
	closed(t, j)
}

// TestStaleRecordsDoNotCount uses segments again that are full of records of earlier lives, at the same offsets.
func TestStaleRecordsDoNotCount(t *testing.T) {
	fs := vfs.NewMem()
	j := create(t, fs)
	first, n := uint64(1), 0
	for range 20 {
		for range 3 {
			write(t, j, record(n, 100)) // of one size: each lies exactly on an older one
			n++
		}
		next(t, j)
		first = j.Current()
		j.Release(first - 1)
	}
	if j.files > 3 {
		t.Errorf("%d files for one segment at a time", j.files)
	}
	write(t, j, "only")
	closed(t, j)
	j, got, err := reopen(fs, first)
	if err != nil || len(got) != 1 || got[0] != "only" {
		t.Fatalf("records %.200q, %v", got, err)
	}
	closed(t, j)
}

// TestRecordInAPayloadIsNone: who publishes can put anything into a payload, but does not know the secret.
func TestRecordInAPayloadIsNone(t *testing.T) {
	for secret, taken := range map[uint32]bool{0x5ec7e7: true, 0: false} {
		fs := vfs.NewMem()
		j := create(t, fs)
		payload := make([]byte, 200)
		inner := payload[headerSize:] // at a multiple of 8 in the file
		putHeader(inner, secret, 1, 9, false, inner[headerSize:headerSize+8])
		at := j.used.Load()
		if _, err := j.Write(payload); err != nil {
			t.Fatal(err)
		}
		killed(t, j)
		b := contents(t, fs, 1)
		b[at] ^= 1 // the outer record is torn
		set(t, fs, 1, b)
		j, _, err := reopen(fs, 1)
		if (err != nil) != taken {
			t.Errorf("secret %x: %v", secret, err)
		}
		if err == nil {
			closed(t, j)
		}
	}
}

func TestNoRoomWritesNothing(t *testing.T) {
	fs, full := vfs.NewMem(), false
	cfg := testConfig(fs)
	cfg.Admit = func(int64) error {
		if full {
			return errors.New("the disk is full")
		}
		return nil
	}
	j, err := Open(cfg, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	full = true
	n := 0
	for ; ; n++ {
		if _, err = j.Write([]byte(record(n, 300))); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrNoRoom) || n < testSegment/2/300 {
		t.Fatalf("after %d records: %v", n, err)
	}
	if err := j.Prepare(nil); err == nil || errors.Is(err, ErrBehind) {
		t.Fatalf("a segment was made on a full disk: %v", err)
	}
	full = false
	write(t, j, record(n, 300))
	write(t, j, record(n+1, 10*testSegment)) // larger than a segment
	closed(t, j)
	j, got, err := reopen(fs, 1)
	if err != nil {
		t.Fatal(err)
	}
	want(t, got, n+2)
	closed(t, j)
}

func TestSegmentsAreBounded(t *testing.T) {
	j := create(t, vfs.NewMem())
	for range 3 {
		write(t, j, "x")
		next(t, j)
	}
	write(t, j, "x")
	if err := j.Prepare(nil); !errors.Is(err, ErrBehind) {
		t.Fatalf("a fifth segment: %v", err)
	}
	if n, _ := j.Oldest(); n != 1 {
		t.Fatalf("the oldest is %d", n)
	}
	j.Release(1)
	if err := j.Prepare(nil); err != nil {
		t.Fatal(err)
	}
	closed(t, j)
}

// TestSegmentsStayBounded: an Open that finds every segment needed makes one more, and has it again later.
func TestSegmentsStayBounded(t *testing.T) {
	fs := vfs.NewMem()
	j, first := create(t, fs), uint64(1)
	for range 5 {
		write(t, j, "x")
		for j.Prepare(nil) == nil {
			if ok, err := j.Rotate(); !ok {
				t.Fatal(err)
			}
			write(t, j, "x")
		}
		closed(t, j)
		var err error
		if j, _, err = reopen(fs, first); err != nil {
			t.Fatal(err)
		}
		first = j.Current()
		j.Release(first - 1)
		names, err := fs.List("")
		if err != nil || len(names) > j.cfg.MaxSegments {
			t.Fatalf("files %v, %v", names, err)
		}
	}
	closed(t, j)
}

// TestMadeUpRecordsDoNotHoldUpOpen: behind the last record is what segments held in earlier lives, payloads among it.
func TestMadeUpRecordsDoNotHoldUpOpen(t *testing.T) {
	fs := vfs.NewMem()
	j := create(t, fs)
	write(t, j, record(0, 20))
	used := j.used.Load()
	killed(t, j)
	b := append(contents(t, fs, 1)[:used], make([]byte, 16<<20)...)
	for at := int(used); at+headerSize <= len(b); at += 16 { // each as long as it can be: hours, were all of them read
		binary.LittleEndian.PutUint32(b[at+4:], uint32(len(b)-at-headerSize))
		binary.LittleEndian.PutUint64(b[at+8:], 1)
	}
	set(t, fs, 1, b)
	j, got, err := reopen(fs, 1)
	if err != nil {
		t.Fatal(err)
	}
	want(t, got, 1)
	closed(t, j)
}

// FuzzScan opens any bytes as a segment: it never panics, and never answers a record that was not written.
func FuzzScan(f *testing.F) {
	fs := vfs.NewMem()
	j, _, _ := reopen(fs, 0)
	for i := range 3 {
		_, _ = j.Write([]byte(record(i, 30)))
	}
	s, _ := openSegment(fs, "", 1, false)
	whole, _ := readAll(s)
	whole = whole[:j.used.Load()]
	f.Add(whole)
	f.Add(whole[:len(whole)-9])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := vfs.NewMem()
		set(t, fs, 1, b)
		j, got, err := reopen(fs, 1)
		if err != nil {
			return
		}
		defer closed(t, j)
		for i, r := range got {
			if again := bytes.Contains(b, []byte(r)); !again {
				t.Fatalf("record %d, %q, is not in the file", i, r)
			}
		}
	})
}
