package pebble

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/pebble/journal"
)

// noted is a context that tells when somebody waits for it.
type noted struct {
	context.Context
	waits chan struct{}
	once  sync.Once
}

func (n *noted) Done() <-chan struct{} {
	n.once.Do(func() { close(n.waits) })
	return n.Context.Done()
}

func TestCloseEndsCallsThatWaitForCheckpoints(t *testing.T) {
	cfg := testConfig(t, vfs.NewMem())
	cfg.CheckpointEvery = time.Hour
	s := mustOpen(t, cfg)
	claim(t, s)
	s.room.whole = 1 << 40
	s.room.prepared(journal.ErrBehind)
	ctx := &noted{Context: context.Background(), waits: make(chan struct{})}
	answer := make(chan error)
	go func() { answer <- appendOne(ctx, s, "u", entry("a", protocol.PriorityHigh, 1)) }()
	<-ctx.waits
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-answer; !errors.Is(err, store.ErrClosed) {
		t.Errorf("append: %v", err)
	}
}

// TestLazySavesLeaveRoomForACheckpoint: on a full disk no more is answered than the journal can take, or the checkpoint
// that would make room could not begin.
func TestLazySavesLeaveRoomForACheckpoint(t *testing.T) {
	disk := &scriptedDisk{free: 1 << 40}
	cfg := testConfig(t, &gateFS{FS: vfs.NewMem(), usage: disk.usage})
	cfg.SegmentBytes, cfg.ReserveBytes, cfg.LazySync, cfg.CheckpointEvery = minSegment, 100*miB, time.Hour, time.Hour
	s := open(t, cfg)
	disk.set(40 * miB) // not for the journal, but for what makes room
	s.space.look()
	saved := 0
	save := func(n int) error {
		d := store.DeviceSave{Owner: owner, User: protocol.UserID(fmt.Sprint("u", n)), Device: fullDevice()}
		d.Device.Context.Model = strings.Repeat("m", kiB)
		err := s.SaveDevices(t.Context(), []store.DeviceSave{d}, false)
		if err == nil {
			saved++
		} else if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		return err
	}
	for n := range 1000 {
		_ = save(n)
	}
	if saved == 0 {
		t.Fatal("none was saved")
	}
	for range 3 { // what is full, what is left of it, and what came meanwhile
		s.keeper.turning.Lock()
		s.keeper.tried = time.Time{}
		s.keeper.turning.Unlock()
		if err := s.keeper.turn(); err != nil {
			t.Fatalf("after %d saves: %v", saved, err)
		}
	}
	if err := save(1000); err != nil {
		t.Fatal(err)
	}
}

// awaitGroup waits until the open group, or how many there were, is as it should be.
func (s *Store) awaitGroup(is func(open *group, made uint64) bool) {
	for {
		s.commits.mu.Lock()
		yes := is(s.commits.open, s.commits.groups)
		s.commits.mu.Unlock()
		if yes {
			return
		}
		runtime.Gosched()
	}
}

// TestAFailedRetryStillTakesTheOrphanAlong: of an id that was written, and written again in vain, nothing comes back once
// its third try was killed.
func TestAFailedRetryStillTakesTheOrphanAlong(t *testing.T) {
	disk := &scriptedDisk{free: 1 << 40}
	fs := &gateFS{FS: vfs.NewMem(), usage: disk.usage}
	cfg := testConfig(t, fs)
	cfg.SegmentBytes, cfg.ReserveBytes, cfg.CheckpointEvery = minSegment, 100*miB, time.Hour
	s := open(t, cfg)
	first := store.Append{Owner: owner, User: "u", Entries: []store.Entry{entry("x", protocol.PriorityHigh, 1)}}
	if err := s.Append(t.Context(), []store.Append{first})[0]; err != nil {
		t.Fatal(err)
	}
	s.orphans.add(&first) // as if its caller had given up
	var groups uint64
	s.awaitGroup(func(_ *group, made uint64) bool { groups = made; return true })
	retry := entry("x", protocol.PriorityHigh, 2)
	retry.Message.Payload = make([]byte, 64*kiB) // more than the journal has room for
	release := fs.stall()
	var calls sync.WaitGroup
	calls.Go(func() {
		if err := appendOne(context.Background(), s, "v", entry("y", protocol.PriorityHigh, 1)); err != nil {
			t.Error(err)
		}
	})
	s.awaitGroup(func(open *group, made uint64) bool { return open == nil && made > groups })
	calls.Go(func() {
		if err := appendOne(context.Background(), s, "u", retry); !errors.Is(err, ErrFull) {
			t.Errorf("the retry: %v", err)
		}
	})
	s.awaitGroup(func(open *group, _ uint64) bool { return open != nil })
	disk.set(50 * miB)
	s.space.look()
	release()
	calls.Wait()
	disk.set(1 << 40)
	s.space.look()
	third := entry("x", protocol.PriorityHigh, 3)
	if err := appendOne(t.Context(), s, "u", third); err != nil {
		t.Fatal(err)
	}
	kill := store.Append{Owner: owner, User: "u", Kills: []store.Ref{placeOf(third)}}
	if err := s.Append(t.Context(), []store.Append{kill})[0]; err != nil {
		t.Fatal(err)
	}
	m, err := s.Load(t.Context(), owner, "u")
	if err != nil || len(m.Entries) > 0 {
		t.Errorf("%d entries came back, %v", len(m.Entries), err)
	}
}
