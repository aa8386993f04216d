package pebble

import (
	"context"
	"errors"
	"fmt"
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
	s.journalSpace.segmentBytes = 1 << 40
	s.journalSpace.prepared(journal.ErrBehind)
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
	s.diskSpace.look()
	saved := 0
	save := func(n int) error {
		d := store.DeviceSave{Owner: owner, User: protocol.UserID(fmt.Sprint("u", n)), Device: fullDevice()}
		d.Device.Context.Model = strings.Repeat("m", kiB)
		err := errors.Join(s.SaveDevices(t.Context(), []store.DeviceSave{d}, false)...)
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
		s.checkpointer.running.Lock()
		s.checkpointer.tried = time.Time{}
		s.checkpointer.running.Unlock()
		if err := s.checkpointer.runOnce(); err != nil {
			t.Fatalf("after %d saves: %v", saved, err)
		}
	}
	if err := save(1000); err != nil {
		t.Fatal(err)
	}
}
