package publisher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"ramen/loadtest/stats"
)

// alarm waits for moments, to some ten µs: Go's own timers wake a process that idles up to 1 ms late, and what leaves late is
// latency that the server has no part in. It is for one goroutine.
type alarm struct {
	ctx  context.Context
	file *os.File // a timerfd; nil: there is none, and Go's timers do
	fd   int
	read [8]byte
	stop func() bool
}

func newAlarm(ctx context.Context) *alarm {
	a := &alarm{ctx: ctx}
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return a
	}
	a.file, a.fd = os.NewFile(uintptr(fd), "timerfd"), fd
	a.stop = context.AfterFunc(ctx, func() { _ = a.file.SetReadDeadline(time.Unix(1, 0)) })
	return a
}

// wait returns at a moment (µs), or with the context's error.
func (a *alarm) wait(at int64) error {
	wait := at - stats.Now()
	if wait <= 0 {
		return a.ctx.Err()
	}
	if a.file == nil {
		return sleepUntil(a.ctx, at)
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(wait * 1000)}
	if err := unix.TimerfdSettime(a.fd, 0, &spec, nil); err != nil {
		return fmt.Errorf("publisher: set a timer: %w", err)
	}
	if _, err := a.file.Read(a.read[:]); err != nil && (a.ctx.Err() == nil || !errors.Is(err, os.ErrDeadlineExceeded)) {
		return fmt.Errorf("publisher: wait for a timer: %w", err)
	}
	return a.ctx.Err()
}

func (a *alarm) close() {
	if a.file != nil {
		a.stop()
		_ = a.file.Close()
	}
}
