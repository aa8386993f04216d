package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

// scriptedDisk says what is free, by script.
type scriptedDisk struct {
	mu   sync.Mutex
	free uint64
}

func (d *scriptedDisk) set(free uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free = free
}

func (d *scriptedDisk) usage() (vfs.DiskUsage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return vfs.DiskUsage{AvailBytes: d.free, TotalBytes: 1 << 40}, nil
}

func TestRefusesByPriorityAndRecovers(t *testing.T) {
	disk := &scriptedDisk{free: 1 << 40}
	cfg := testConfig(t, &gateFS{FS: vfs.NewMem(), usage: disk.usage})
	cfg.ReserveBytes, cfg.ReserveLowBytes = 100*miB, 300*miB
	reg := prometheus.NewRegistry()
	s, err := Open(cfg, quiet(), reg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	claim(t, s)
	cases := []struct {
		free              uint64
		high, medium, low bool // taken
		rest              bool
	}{
		{301 * miB, true, true, true, true},
		{299 * miB, true, true, false, true},
		{201 * miB, true, true, false, true},
		{199 * miB, true, false, false, true},
		{99 * miB, false, false, false, true},
		{13 * miB, false, false, false, true},
		{12 * miB, false, false, false, false},
		{301 * miB, true, true, true, true},
	}
	for i, c := range cases {
		disk.set(c.free)
		s.diskSpace.look()
		for p, want := range map[protocol.Priority]bool{
			protocol.PriorityHigh: c.high, protocol.PriorityMedium: c.medium, protocol.PriorityLow: c.low,
		} {
			admitted := s.Admit(p)
			appended := appendOne(t.Context(), s, "u", entry(fmt.Sprint(i, p), p, uint64(i+1)))
			for _, err := range []error{admitted, appended} {
				if (err == nil) != want || err != nil && !errors.Is(err, ErrFull) {
					t.Errorf("%d MiB free, %s priority: %v", c.free/miB, p, err)
				}
			}
		}
		err := storetest.Append(t.Context(), s, []store.Append{{Owner: owner, User: "u", Kills: []store.Ref{{Priority: protocol.PriorityLow}}}})[0]
		if (err == nil) != c.rest {
			t.Errorf("%d MiB free, a kill: %v", c.free/miB, err)
		}
	}
	if got := gathered(t, reg)["ramen_store_refused_total low"]; got != 12 {
		t.Errorf("%v low messages counted as refused, want 12", got)
	}
	if got := gathered(t, reg)["ramen_store_free_bytes"]; got < 300*miB || got > 301*miB {
		t.Errorf("%v bytes free by the gauge, want 301 MiB less what was written", got)
	}
}

// gathered is the counters and gauges of reg, by name and labels.
func gathered(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}

func TestLargeBatchCountsAgainstSpace(t *testing.T) {
	disk := &scriptedDisk{free: 110 * miB}
	cfg := testConfig(t, &gateFS{FS: vfs.NewMem(), usage: disk.usage})
	cfg.ReserveBytes, cfg.ReserveLowBytes = 100*miB, 100*miB
	s := open(t, cfg)
	var batch []store.Append
	for i := range uint64(10) {
		e := entry(fmt.Sprint(i), protocol.PriorityHigh, i+1)
		e.Message.Payload = make([]byte, miB)
		batch = append(batch, store.Append{Owner: owner, User: protocol.UserID(fmt.Sprint("u", i)), Entries: []store.Entry{e}})
	}
	for i, err := range storetest.Append(t.Context(), s, batch) {
		if taken := i < 4; (err == nil) != taken { // 10 MiB to spare, each counts twice, and a little is written
			t.Errorf("element %d: %v", i, err)
		}
	}
}

func TestWritesCountAgainstSpaceBetweenLooks(t *testing.T) {
	disk := &scriptedDisk{free: 100*miB + 1000}
	cfg := testConfig(t, &gateFS{FS: vfs.NewMem(), usage: disk.usage})
	cfg.ReserveBytes, cfg.ReserveLowBytes = 100*miB, 100*miB
	s := open(t, cfg)
	s.diskSpace.look()
	s.diskSpace.wrote(400)
	if err := s.Admit(protocol.PriorityHigh); err != nil {
		t.Fatalf("with room for it twice: %v", err)
	}
	s.diskSpace.wrote(400)
	if err := s.Admit(protocol.PriorityHigh); !errors.Is(err, ErrFull) {
		t.Fatalf("without: %v", err)
	}
}

// tmpfs mounts a file system of size bytes for the test.
func tmpfs(t *testing.T, size int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a tmpfs that can be filled")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fullDisk is a store on a small disk, and the messages that it accepted.
type fullDisk struct {
	*Store
	t        *testing.T
	dir      string
	log      *lockedBuffer
	micros   uint64
	accepted map[protocol.MessageID]bool
	refused  [protocol.Lanes]int
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func newFullDisk(t *testing.T, size int) *fullDisk {
	d := &fullDisk{t: t, dir: tmpfs(t, size), log: &lockedBuffer{}, accepted: map[protocol.MessageID]bool{}}
	cfg := Default()
	cfg.Dir = filepath.Join(d.dir, "data")
	cfg.Exit = func(int) {
		t.Errorf("the engine ended the process:\n%s", d.log)
		select {}
	}
	s, err := Open(cfg, slog.New(slog.NewTextHandler(d.log, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	d.Store = s
	claim(t, s)
	return d
}

// publish appends a message of each priority, and answers whether one was taken. An error but ErrFull ends the test.
func (d *fullDisk) publish() (taken int) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // for 30 s the engine leaves keys alone whose compaction failed
	defer cancel()
	for lane := range protocol.Lanes {
		d.micros++
		e := entry(fmt.Sprint("m", d.micros), protocol.LanePriority(lane), d.micros)
		e.Message.Payload = make([]byte, 16*kiB)
		for i := range e.Message.Payload { // so that it does not compress
			e.Message.Payload[i] = byte((uint64(i)*2654435761 + d.micros*40503) >> 7)
		}
		user := protocol.UserID(fmt.Sprint("u", d.micros%50))
		switch err := appendOne(ctx, d.Store, user, e); {
		case err == nil:
			d.accepted[e.Message.ID] = true
			taken++
		case errors.Is(err, ErrFull):
			d.refused[lane]++
		default:
			d.t.Fatalf("append after %d accepted: %v\n%s", len(d.accepted), err, d.log)
		}
	}
	return taken
}

// fill publishes until nothing is taken any more, for a while.
func (d *fullDisk) fill() {
	d.t.Helper()
	for nothing := 0; nothing < 200; nothing++ {
		if d.publish() > 0 {
			nothing = 0
		}
		d.diskSpace.look()
	}
}

// free is what the disk has left.
func (d *fullDisk) free() uint64 {
	var s unix.Statfs_t
	if err := unix.Statfs(d.dir, &s); err != nil {
		d.t.Fatal(err)
	}
	return s.Bavail * uint64(s.Bsize)
}

// wantAccepted loads everyone, and drops what is there to make room.
func (d *fullDisk) wantAccepted(forget bool) {
	d.t.Helper()
	found := 0
	for i := range 50 {
		user := protocol.UserID(fmt.Sprint("u", i))
		m, err := d.Load(context.Background(), owner, user)
		if err != nil {
			d.t.Fatal(err)
		}
		f := store.Forget{Owner: owner, User: user}
		for _, e := range m.Entries {
			if !d.accepted[e.Message.ID] {
				d.t.Errorf("message %s was refused, and is there", e.Message.ID)
			}
			f.Refs = append(f.Refs, store.Ref{Priority: e.Message.Priority, Position: e.Position})
		}
		found += len(m.Entries)
		if !forget {
			continue
		}
		if err := errors.Join(d.Forget(context.Background(), []store.Forget{f})...); err != nil {
			d.t.Fatal(err)
		}
	}
	if found != len(d.accepted) {
		d.t.Errorf("%d messages found, %d accepted", found, len(d.accepted))
	}
	if forget {
		clear(d.accepted)
	}
}

func TestDiskFilledByOthersRefusesAndRecovers(t *testing.T) {
	for _, size := range []int{64 * miB, 128 * miB} {
		t.Run(fmt.Sprintf("%dMiB", size/miB), func(t *testing.T) {
			d := newFullDisk(t, size)
			for range 200 {
				d.publish()
			}
			if d.refused != [protocol.Lanes]int{} {
				t.Fatalf("refused %v on an empty disk", d.refused)
			}
			ballast, lowFirst := filepath.Join(d.dir, "ballast"), false
			f, err := os.Create(ballast)
			if err != nil {
				t.Fatal(err)
			}
			for err == nil { // to the last byte, messages in between
				_, err = f.Write(make([]byte, 256*kiB))
				d.publish()
				lowFirst = lowFirst || d.refused[2] > 0 && d.refused[0] == 0
			}
			f.Close()
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatalf("ballast: %v", err)
			}
			d.fill()
			if !lowFirst || d.refused[0] == 0 {
				t.Errorf("refused %v, low first: %v", d.refused, lowFirst)
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			taken, late := 0, time.Now().Add(30*time.Second)
			for taken != protocol.Lanes && time.Now().Before(late) { // the engine may be about to try a flush again
				d.diskSpace.look()
				taken = d.publish()
			}
			if taken != protocol.Lanes {
				t.Errorf("%d of 3 taken after the disk was freed", taken)
			}
			d.wantAccepted(false)
		})
	}
}

// The reserve must cover a checkpoint of all that was accepted on a disk that is full, and one of what is forgotten then. What
// the engine compacts after that is its own time: where a compaction finds no room, it leaves its keys alone for 30 s.
func TestReserveCoversFlushes(t *testing.T) {
	d := newFullDisk(t, 64*miB)
	d.fill()
	left := d.free()
	checkpoint(t, d.Store)
	t.Logf("%d KiB were left, %d KiB after a flush; floors %d and %d KiB", left/kiB, d.free()/kiB, d.diskSpace.floors[0]/kiB, d.diskSpace.floors[2]/kiB)
	d.wantAccepted(true)
	checkpoint(t, d.Store)
	d.wantAccepted(false)
	if d.refused[0] == 0 {
		t.Error("the disk was never full")
	}
}

func TestCompactionWithoutRoomKeepsMessagesOut(t *testing.T) {
	disk := &scriptedDisk{free: 1 << 40}
	cfg := testConfig(t, &gateFS{FS: vfs.NewMem(), usage: disk.usage})
	cfg.ReserveBytes = 100 * miB
	s := open(t, cfg)
	disk.set(40 * miB)
	if s.diskSpace.awaitCompaction() {
		t.Fatal("a compaction began with 40 MiB of a reserve of 100")
	}
	disk.set(1 << 40)
	s.diskSpace.look()
	if err := s.Admit(protocol.PriorityHigh); !errors.Is(err, ErrFull) {
		t.Fatalf("admit while a compaction waits for room: %v", err)
	}
	disk.set(40 * miB)
	if !s.diskSpace.awaitCompaction() {
		t.Fatal("the next try has no room either, with nothing taken meanwhile")
	}
	s.diskSpace.compacted()
	disk.set(1 << 40)
	s.diskSpace.look()
	if err := s.Admit(protocol.PriorityHigh); err != nil {
		t.Fatalf("admit after the compaction: %v", err)
	}
}
