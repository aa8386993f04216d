package ramen

import (
	"context"
	"errors"
	"sync"
	"time"
)

// saver keeps the device's place in its store, from a goroutine of its own, so that a store which is slow or does not answer holds up
// no message.
type saver struct {
	d    *Device
	wake chan struct{} // one token: the cursor has moved

	work    sync.WaitGroup
	saved   string // owned by the goroutine, and by whoever has waited for it
	failing bool   // likewise: the last save has failed
}

// run ends with ctx. The last save is the keeper's.
func (s *saver) run(ctx context.Context) {
	for {
		select {
		case <-s.wake:
			s.once(ctx, saveTimeout)
		case <-ctx.Done():
			return
		}
	}
}

// save has the cursor saved, as it is then.
func (s *saver) save() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *saver) once(ctx context.Context, limit time.Duration) {
	d := s.d
	d.mu.Lock()
	cursor := d.cursor
	d.mu.Unlock()
	if d.cfg.Cursors == nil || cursor == "" || cursor == s.saved {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := d.cfg.Cursors.Save(ctx, cursor)
	if errors.Is(err, context.Canceled) {
		return // the device stops: there is a last save
	}
	if err != nil {
		if !s.failing {
			d.cfg.Logger.Warn("the cursor could not be saved; messages may come again after a restart", "device", d.cfg.Device, "err", err)
			d.fault("store", err)
		}
		s.failing = true
		return
	}
	s.saved, s.failing = cursor, false
}
