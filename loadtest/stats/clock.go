package stats

import "time"

var (
	began   = time.Now()
	beganUS = began.UnixMicro()
)

// Now is the time in microseconds: the wall clock's at start, monotonic from there.
func Now() int64 { return beganUS + time.Since(began).Microseconds() }
