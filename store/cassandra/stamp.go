package cassandra

import (
	"sync/atomic"
	"time"
)

// stamps are the timestamps, in µs, of rows that one process alone writes, and which are to be as it wrote them last: of two writes of a
// row the one with the higher timestamp stays. So they only grow, also where the wall clock is set back.
type stamps struct{ last atomic.Int64 }

// next is above all that came before, and the wall clock where that allows it.
func (s *stamps) next() int64 {
	for {
		last := s.last.Load()
		next := max(time.Now().UnixMicro(), last+1)
		if s.last.CompareAndSwap(last, next) {
			return next
		}
	}
}
