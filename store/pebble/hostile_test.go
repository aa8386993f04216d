package pebble

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

// TestStepIsTakenByItsHighestPriority: low messages that the gateway writes again, since their first write was unsure, do
// not hold up the high ones behind them.
func TestStepIsTakenByItsHighestPriority(t *testing.T) {
	disk := &scriptedDisk{free: 1 << 40}
	cfg := testConfig(t, &gateFS{FS: vfs.NewMem(), usage: disk.usage})
	cfg.ReserveBytes, cfg.ReserveLowBytes = 100*miB, 300*miB
	s := open(t, cfg)
	disk.set(150 * miB)
	s.diskSpace.look()
	write := func(entries ...store.Entry) error {
		return storetest.Append(t.Context(), s, []store.Append{{Owner: owner, User: "u", Entries: entries}})[0]
	}
	unsure := entry("l", protocol.PriorityLow, 1)
	if err := write(unsure); !errors.Is(err, ErrFull) {
		t.Fatalf("low alone: %v", err)
	}
	if err := write(unsure, entry("h", protocol.PriorityHigh, 2)); err != nil {
		t.Fatalf("low and high: %v", err)
	}
	if err := write(unsure, entry("m", protocol.PriorityMedium, 3)); !errors.Is(err, ErrFull) {
		t.Fatalf("low and medium: %v", err)
	}
}

// TestLazySyncComesThoughSavesGoOn: saves that follow each other closely do not put it off for ever.
func TestLazySyncComesThoughSavesGoOn(t *testing.T) {
	var syncs atomic.Int64
	cfg := testConfig(t, &gateFS{FS: vfs.NewMem(), step: func(op string) {
		if op == "sync" {
			syncs.Add(1)
		}
	}})
	cfg.LazySync, cfg.MemTableBytes = 2*time.Millisecond, 64*miB // nothing else syncs
	s := open(t, cfg)
	save := []store.DeviceSave{{Owner: owner, User: "u", Device: store.Device{ID: "d"}}}
	before := syncs.Load()
	for n := 0; syncs.Load() == before; n++ {
		if n == 3000 {
			t.Fatal("3,000 saves in a row without a sync")
		}
		if err := errors.Join(s.SaveDevices(t.Context(), save, false)...); err != nil {
			t.Fatal(err)
		}
	}
}

// stuckFlush is a file system on which, once armed, files of flushes do not come to be until gate is closed.
type stuckFlush struct {
	vfs.FS
	armed         atomic.Bool
	reached, gate chan struct{}
	once          sync.Once
}

func (f *stuckFlush) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if c == flushFile && f.armed.Load() {
		f.once.Do(func() { close(f.reached) })
		<-f.gate
	}
	return f.FS.Create(name, c)
}

func TestCloseIsBoundedThoughAFlushHangs(t *testing.T) {
	fs := &stuckFlush{FS: vfs.NewMem(), reached: make(chan struct{}), gate: make(chan struct{})}
	cfg := testConfig(t, fs)
	cfg.CloseTimeout = 50 * time.Millisecond
	s := mustOpen(t, cfg)
	claim(t, s)
	fs.armed.Store(true)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { // the journal fills while nothing leaves it: then appends wait
		<-fs.reached
		stop()
	}()
	for n := uint64(1); ctx.Err() == nil; n++ {
		e := entry(fmt.Sprint("m", n), protocol.PriorityHigh, n)
		e.Message.Payload = make([]byte, 32*kiB)
		if err := appendOne(ctx, s, "u", e); err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		if !errors.Is(err, ErrStalled) {
			t.Errorf("close: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("close hangs")
	}
	close(fs.gate)
	if t.Failed() {
		return
	}
	lock := func() bool { // free once the engine has closed
		other, err := Open(cfg, quiet(), nil)
		if err != nil {
			return false
		}
		return other.Close() == nil
	}
	for began := time.Now(); !lock(); {
		if time.Since(began) > 10*time.Second {
			t.Fatal("the files do not close")
		}
	}
}

// TestWriteThatFoundNoRoomIsNotUnknown: it waited for the open group until its deadline, and nothing of it was written.
func TestWriteThatFoundNoRoomIsNotUnknown(t *testing.T) {
	fs := &gateFS{FS: vfs.NewMem()}
	cfg := testConfig(t, fs)
	cfg.MaxPendingBytes = 64 * kiB
	s := open(t, cfg)
	release := fs.stall()
	defer release()
	var err error
	for n := uint64(1); n < 9; n++ {
		e := entry(fmt.Sprint("m", n), protocol.PriorityHigh, n)
		e.Message.Payload = make([]byte, 40*kiB)
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
		err = appendOne(ctx, s, "u", e)
		stop()
		if !errors.Is(err, store.ErrUnknown) {
			break
		}
	}
	if !errors.Is(err, ErrStalled) || errors.Is(err, store.ErrUnknown) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("append: %v; want %v alone", err, ErrStalled)
	}
}

// BenchmarkConnecting is many devices that become known at once: they share fsyncs.
func BenchmarkConnecting(b *testing.B) {
	var syncs atomic.Int64
	cfg := testConfig(b, &gateFS{FS: vfs.Default, step: func(op string) {
		if op == "sync" {
			syncs.Add(1)
		}
	}})
	cfg.Dir, cfg.MemTableBytes = b.TempDir(), 0
	s := open(b, cfg)
	before := syncs.Load()
	b.SetParallelism(5000)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			save := []store.DeviceSave{{Owner: owner, User: "u", Device: store.Device{ID: "d"}}}
			if err := errors.Join(s.SaveDevices(b.Context(), save, true)...); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/float64(max(syncs.Load()-before, 1)), "saves/fsync")
}
