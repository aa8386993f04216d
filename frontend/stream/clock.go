package stream

import "time"

// clock is the server's monotonic time in ms. It begins an hour late, so that 0 is always long ago.
type clock struct{ start time.Time }

func newClock() clock { return clock{time.Now().Add(-time.Hour)} }

func (c clock) now() int64 { return time.Since(c.start).Milliseconds() }

// at is c's time of t, which may be ahead.
func (c clock) at(t time.Time) int64 { return c.now() + time.Until(t).Milliseconds() }
