//go:build !linux

package publisher

import "context"

// alarm waits for moments, as exactly as Go's timers do.
type alarm struct{ ctx context.Context }

func newAlarm(ctx context.Context) *alarm { return &alarm{ctx} }

func (a *alarm) wait(at int64) error { return sleepUntil(a.ctx, at) }

func (*alarm) close() {}
