package pebble

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	dto "github.com/prometheus/client_model/go"

	"ramen/protocol"
)

// awaitReady waits until Ready answers want, nil included.
func (s *Store) awaitReady(t *testing.T, want error) {
	t.Helper()
	for late := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
		err := s.Ready()
		if errors.Is(err, want) {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("Ready answers %v, not %v", err, want)
		}
	}
}

// TestFix21ReadyWhileHighIsTaken: not while the disk is too full for high priority, nor while it does not answer; and asking is no
// refusal.
func TestFix21ReadyWhileHighIsTaken(t *testing.T) {
	disk := &scriptedDisk{free: 1 << 40}
	fs := &gateFS{FS: vfs.NewMem(), usage: disk.usage}
	cfg := testConfig(t, fs)
	cfg.ReserveBytes = 100 * miB
	s := open(t, cfg)
	s.awaitReady(t, nil)
	disk.set(120 * miB) // low and medium are refused
	s.diskSpace.look()
	if err := s.Admit(protocol.PriorityMedium); !errors.Is(err, ErrFull) {
		t.Errorf("medium: %v", err)
	}
	s.awaitReady(t, nil)
	disk.set(50 * miB)
	s.diskSpace.look()
	s.awaitReady(t, ErrFull)
	var m dto.Metric
	if err := s.metrics.refused[protocol.PriorityHigh.Lane()].Write(&m); err != nil || m.Counter.GetValue() != 0 {
		t.Errorf("asking counts as %v refusals, %v", m.Counter.GetValue(), err)
	}
	disk.set(1 << 40)
	s.diskSpace.look()
	s.awaitReady(t, nil)

	release := fs.stall()
	done := make(chan error)
	go func() { done <- appendOne(context.Background(), s, "u", entry("x", protocol.PriorityHigh, 1)) }()
	s.awaitReady(t, ErrStalled)
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	s.awaitReady(t, nil)
}
