package gauge

import "time"

var (
	began   = time.Now()
	beganUS = began.UnixMicro()
)

// Now is the time in microseconds: the wall clock's at start, monotonic from there.
func Now() int64 { return beganUS + time.Since(began).Microseconds() }

// At is the moment of a time that Now gave.
func At(us int64) time.Time { return began.Add(time.Duration(us-beganUS) * time.Microsecond) }
