package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// segmentsOf is how large segments are where a page of one is to be lost: several pages.
const segmentsOf = 16 << 10

func wideConfig(fs vfs.FS) Config {
	cfg := testConfig(fs)
	cfg.SegmentBytes = segmentsOf
	return cfg
}

// threeSegments is a journal that is needed from segment 2 on, of three records a segment, with segment 5 made and segment 1 let
// go of. It is stopped by stop.
func threeSegments(t *testing.T, stop func(*testing.T, *Journal)) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewMem()
	cfg := wideConfig(fs)
	cfg.MaxSegments = 6
	j, _, err := open(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	write(t, j, "of no use any more")
	next(t, j)
	for i := range 9 {
		write(t, j, record(i, 2000))
		if i%3 == 2 && i < 8 {
			next(t, j)
		}
	}
	if err := j.Prepare(nil); err != nil {
		t.Fatal(err)
	}
	stop(t, j)
	return fs
}

func marksAndKilled(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Mark(); err != nil {
		t.Fatal(err)
	}
	killed(t, j)
}

// lastRecord is where the last record that is the owner's lies in segment 4.
func lastRecord(t *testing.T, fs *vfs.MemFS) (at, end int64) {
	t.Helper()
	for b := contents(t, fs, 4); ; {
		r, err := readRecord(b[end:], 0x5ec7e7, 4)
		if err != nil || r.control {
			return at, end
		}
		at, end = end, end+recordSize(len(r.payload))
	}
}

// TestFix19WhatIsMissingIsRefused damages a journal in every way in which backups, copies and disks do. Nothing that was
// answered is left out without a word: not after a kill, nor after an orderly stop.
func TestFix19WhatIsMissingIsRefused(t *testing.T) {
	const newest = 4 // the segment that was written to last
	cut := func(number uint64, size int) func(*testing.T, *vfs.MemFS) {
		return func(t *testing.T, fs *vfs.MemFS) { set(t, fs, number, contents(t, fs, number)[:size]) }
	}
	change := func(number uint64, change func(b []byte)) func(*testing.T, *vfs.MemFS) {
		return func(t *testing.T, fs *vfs.MemFS) {
			b := contents(t, fs, number)
			change(b)
			set(t, fs, number, b)
		}
	}
	swap := func(one, other uint64) func(*testing.T, *vfs.MemFS) {
		return func(t *testing.T, fs *vfs.MemFS) {
			b := contents(t, fs, one)
			set(t, fs, one, contents(t, fs, other))
			set(t, fs, other, b)
		}
	}
	damages := map[string]func(*testing.T, *vfs.MemFS){
		"newest cut to nothing":       cut(newest, 0),
		"newest cut to half":          cut(newest, segmentsOf/2),
		"newest cut by a byte":        cut(newest, segmentsOf-1),
		"newest of zeros":             change(newest, func(b []byte) { clear(b) }),
		"newest without a first page": change(newest, func(b []byte) { clear(b[:pageSize]) }),
		"newest removed":              func(t *testing.T, fs *vfs.MemFS) { remove(t, fs, newest) },
		"newest swapped with unused":  swap(newest, newest+1),
		"newest swapped with freed":   swap(newest, 1),
		"newest replaced by unused":   func(t *testing.T, fs *vfs.MemFS) { set(t, fs, newest, contents(t, fs, newest+1)) },
		"newest replaced by freed":    func(t *testing.T, fs *vfs.MemFS) { set(t, fs, newest, contents(t, fs, 1)) },
		"first cut to nothing":        cut(2, 0),
		"first of zeros":              change(2, func(b []byte) { clear(b) }),
		"first removed":               func(t *testing.T, fs *vfs.MemFS) { remove(t, fs, 2) },
		"middle cut to nothing":       cut(3, 0),
		"middle removed":              func(t *testing.T, fs *vfs.MemFS) { remove(t, fs, 3) },
		"middle without its end":      change(3, func(b []byte) { clear(b[4096:]) }),
		"a bit of the last record": func(t *testing.T, fs *vfs.MemFS) {
			at, end := lastRecord(t, fs)
			change(newest, func(b []byte) { b[(at+end)/2] ^= 4 })(t, fs)
		},
		"the page of the last record's end": func(t *testing.T, fs *vfs.MemFS) {
			_, end := lastRecord(t, fs)
			change(newest, func(b []byte) { page := (end - 1) &^ (pageSize - 1); clear(b[page : page+pageSize]) })(t, fs)
		},
	}
	for name, stop := range map[string]func(*testing.T, *Journal){"stopped": closed, "killed": marksAndKilled} {
		for what, damage := range damages {
			t.Run(name+"/"+what, func(t *testing.T) {
				fs := threeSegments(t, stop)
				j, got, err := open(wideConfig(fs), 2)
				if err != nil {
					t.Fatal("without any damage: ", err)
				}
				want(t, got, 9)
				killed(t, j)
				fs = threeSegments(t, stop)
				damage(t, fs)
				before := image(t, fs)
				if j, got, err = open(wideConfig(fs), 2); err == nil {
					killed(t, j)
					t.Fatalf("opened, with %d records of 9", len(got))
				}
				if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), namePrefix) {
					t.Errorf("%v: it does not say which segment is damaged", err)
				}
				if _, inspected := Inspect(wideConfig(fs), 2, func(uint64, []byte) error { return nil }); !errors.Is(inspected, ErrDamaged) {
					t.Errorf("inspected: %v", inspected)
				}
				if after := image(t, fs); after != before {
					t.Error("the files were changed all the same")
				}
			})
		}
	}
}

func remove(t *testing.T, fs *vfs.MemFS, number uint64) {
	t.Helper()
	if err := fs.Remove(segmentName(number)); err != nil {
		t.Fatal(err)
	}
}

// image is all files and their content.
func image(t *testing.T, fs *vfs.MemFS) string {
	t.Helper()
	var b strings.Builder
	for n := range uint64(8) {
		if _, err := fs.Stat(segmentName(n)); err == nil {
			fmt.Fprintf(&b, "%d %x\n", n, contents(t, fs, n))
		}
	}
	return b.String()
}

// TestFix19SalvageGoesOnBehindDamage: with the way to go on everything that can be read comes back, and what cannot is told.
func TestFix19SalvageGoesOnBehindDamage(t *testing.T) {
	fs := threeSegments(t, closed)
	b := contents(t, fs, 3)
	b[headRecord+100] ^= 1 // its first record
	set(t, fs, 3, b)
	remove(t, fs, 2)
	var notes []Note
	cfg := wideConfig(fs)
	cfg.MaxSegments = 6
	cfg.Salvage, cfg.Warn = true, func(n Note) { notes = append(notes, n) }
	j, got, err := open(cfg, 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 5 || got[0] != record(4, 2000) || got[4] != record(8, 2000) {
		t.Fatalf("%d records came back, want 5", len(got))
	}
	if len(notes) != 2 || !notes[0].Lost || notes[0].Segment != 2 || !notes[1].Lost || notes[1].Segment != 3 || notes[1].Record != 1 {
		t.Fatalf("notes %v", notes)
	}
	first := j.Current()
	j.Release(first - 1)
	write(t, j, "behind")
	closed(t, j)
	if _, got, err = reopen(fs, first); err != nil || len(got) != 1 {
		t.Fatalf("after it: %q, %v", got, err)
	}
}

// TestFix19OrdinaryEndsAreSilent: a journal that was stopped, or killed between two writes, at any moment, opens without a word.
func TestFix19OrdinaryEndsAreSilent(t *testing.T) {
	for records := range 12 {
		for _, prepared := range []bool{false, true} {
			for _, marked := range []bool{false, true} {
				for _, stop := range []func(*testing.T, *Journal){closed, killed} {
					fs := vfs.NewMem()
					j, n, first := create(t, fs), 0, uint64(1)
					for range records { // over segments that held others before
						if j.Wanting() {
							_ = j.Prepare(nil)
						}
						first, _ = write(t, j, record(n, 900)), 0
						j.Release(first - 1)
						n++
						if marked {
							if err := j.Mark(); err != nil {
								t.Fatal(err)
							}
						}
					}
					if prepared {
						_ = j.Prepare(nil)
					}
					stop(t, j)
					cfg := testConfig(fs)
					cfg.Warn = func(n Note) { t.Errorf("%d records, prepared %v, marked %v: %v", records, prepared, marked, n) }
					j, _, err := open(cfg, first)
					if err != nil {
						t.Fatalf("%d records, prepared %v, marked %v: %v", records, prepared, marked, err)
					}
					killed(t, j)
				}
			}
		}
	}
}

// TestFix19PowerCutAtEveryStepOfASegment cuts the power before every step that changes the disk, while segments are begun, grown,
// filled, sealed and used again: all that was answered comes back, nothing is taken for damage, and so again after a second
// cut while that is opened.
func TestFix19PowerCutAtEveryStepOfASegment(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	fs := vfs.NewCrashableMem()
	cut := &cutFS{FS: fs}
	var answered, first = 0, uint64(1)
	type disk struct {
		fs              *vfs.MemFS
		answered        int
		first           uint64
		firstOfSegments map[uint64]int
	}
	begun := map[uint64]int{1: 0} // the first record of each segment
	var disks []disk
	cut.step = func() {
		for _, percent := range []int{0, 50, 1 + rng.IntN(100)} {
			copied := make(map[uint64]int)
			for k, v := range begun {
				copied[k] = v
			}
			disks = append(disks, disk{fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}), answered, first, copied})
		}
	}
	j, _, err := open(wideConfig(cut), 0)
	if err != nil {
		t.Fatal(err)
	}
	disks = nil // before Open has returned, nothing is promised
	for answered < 40 {
		if rng.IntN(3) == 0 {
			if err := j.Prepare(nil); err != nil && !errors.Is(err, ErrBehind) {
				t.Fatal(err)
			}
		}
		if rng.IntN(6) == 0 {
			if _, err := j.Rotate(); err != nil {
				t.Fatal(err)
			}
		}
		if _, ok := begun[j.Current()]; !ok {
			begun[j.Current()] = answered
		}
		if rng.IntN(4) == 0 {
			if err := j.Mark(); err != nil {
				t.Fatal(err)
			}
		}
		size := rng.IntN(6000)
		if rng.IntN(10) == 0 {
			size = segmentsOf + rng.IntN(segmentsOf)
		}
		number, err := j.Write([]byte(record(answered, size)))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := begun[number]; !ok {
			begun[number] = answered
		}
		answered++
		if number > first+1 {
			first = number - 1
			j.Release(first - 1)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	check := func(at int, d disk, fs vfs.FS) {
		t.Helper()
		j, got, err := open(wideConfig(fs), d.first)
		if err != nil {
			t.Fatalf("seed %d, cut %d, %d answered: %v", seed, at, d.answered, err)
		}
		killed(t, j)
		from, ok := d.firstOfSegments[d.first]
		if !ok {
			t.Fatalf("seed %d: nobody knows the first record of segment %d", seed, d.first)
		}
		if n := from + len(got); n < d.answered || n > d.answered+1 {
			t.Fatalf("seed %d, cut %d: %d records from %d on, %d were answered", seed, at, len(got), from, d.answered)
		}
		for i, r := range got {
			if !strings.HasPrefix(r, fmt.Sprint(from+i, ":")) {
				t.Fatalf("seed %d, cut %d: record %d is %.20q", seed, at, from+i, r)
			}
		}
	}
	for i, d := range disks {
		check(i, d, d.fs)
		if i%5 > 0 {
			continue
		}
		again := d.fs.CrashClone(vfs.CrashCloneCfg{}) // all of it is synced
		var second []*vfs.MemFS
		reopened := &cutFS{FS: again, step: func() {
			second = append(second, again.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng}))
		}}
		if j, _, err := open(wideConfig(reopened), d.first); err == nil {
			killed(t, j)
		}
		for _, fs := range second {
			check(i, d, fs)
		}
	}
	if len(disks) < 300 {
		t.Fatalf("only %d cuts", len(disks))
	}
}

// cutFS calls step before each step that changes the disk.
type cutFS struct {
	vfs.FS
	step func()
}

type cutFile struct {
	vfs.File
	fs *cutFS
}

func (c *cutFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &cutFile{f, c}, nil
}

func (c *cutFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	c.step()
	return c.wrap(c.FS.OpenReadWrite(name, category, o...))
}

func (c *cutFS) OpenDir(name string) (vfs.File, error) { return c.wrap(c.FS.OpenDir(name)) }

func (c *cutFS) Rename(from, to string) error {
	c.step()
	return c.FS.Rename(from, to)
}

func (c *cutFS) Remove(name string) error {
	c.step()
	return c.FS.Remove(name)
}

func (f *cutFile) Fd() uintptr { return vfs.InvalidFd }

func (f *cutFile) WriteAt(b []byte, off int64) (int, error) {
	f.fs.step()
	return f.File.WriteAt(b, off)
}

func (f *cutFile) Sync() error {
	f.fs.step()
	return f.File.Sync()
}

func (f *cutFile) SyncData() error {
	f.fs.step()
	return f.File.SyncData()
}

// TestFix19SegmentsOfTheOldFormatAreRead reads what a release without sizes and seals wrote, and misses of it what that one did.
func TestFix19SegmentsOfTheOldFormatAreRead(t *testing.T) {
	old := func(number uint64, before place, payloads ...string) ([]byte, place) {
		var b []byte
		add := func(n uint64, payload []byte) {
			h := make([]byte, headerSize)
			putHeader(h, 0x5ec7e7, number, n, false, payload)
			b = append(append(b, h...), payload...)
			b = append(b, make([]byte, padded(int64(len(b)))-int64(len(b)))...)
		}
		head := append([]byte(magic1), make([]byte, 16)...)
		head[magicSize], head[magicSize+1], head[magicSize+8] = byte(before.length), byte(before.length>>8), byte(before.records)
		add(0, head)
		for i, p := range payloads {
			add(uint64(i)+1, []byte(p))
		}
		end := place{int64(len(b)), uint64(len(payloads)) + 1}
		return append(b, make([]byte, wholePages(int64(len(b)))-int64(len(b)))...), end
	}
	fs := vfs.NewMem()
	one, end := old(1, place{}, record(0, 10), record(1, 2000))
	two, _ := old(2, end, record(2, 10))
	set(t, fs, 1, one)
	set(t, fs, 2, two)
	set(t, fs, 3, make([]byte, 2*pageSize)) // made, and not begun
	cfg := testConfig(fs)
	cfg.Lenient = true
	cfg.Warn = func(n Note) { t.Error(n) }
	j, got, err := open(cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	want(t, got, 3)
	write(t, j, record(3, 5))
	killed(t, j)
	cfg.Lenient = false
	if j, got, err = open(cfg, 1); err != nil {
		t.Fatal(err)
	}
	want(t, got, 4)
	killed(t, j)
	set(t, fs, 1, bytes.Repeat(one[:headRecord], 1))
	if _, _, err = open(cfg, 1); !errors.Is(err, ErrDamaged) {
		t.Fatalf("cut: %v", err)
	}
}

// TestFix13LittleUseKeepsSegmentsSmall: segments that are left for their age, not for being full, stay as they are.
func TestFix13LittleUseKeepsSegmentsSmall(t *testing.T) {
	cfg := testConfig(vfs.NewMem())
	cfg.SegmentBytes = 64 << 20
	j, _, err := open(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		write(t, j, record(0, 100))
		next(t, j)
		j.Release(j.Current() - 1)
	}
	if n := j.Bytes(); n > 3*FirstBytes {
		t.Errorf("%d bytes for little, want 3 segments of %d", n, FirstBytes)
	}
	write(t, j, record(0, FirstBytes/2))
	next(t, j)
	if n := j.size.Load(); n != 4*FirstBytes {
		t.Errorf("after one that was used well the next has %d bytes", n)
	}
	closed(t, j)
}
