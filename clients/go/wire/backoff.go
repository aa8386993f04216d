package wire

import (
	"cmp"
	"math/rand/v2"
	"time"
)

// SPEC 2.13.1.
const (
	FirstBackoff = time.Second      // the most of the first pause; it doubles from there
	MaxBackoff   = 30 * time.Second // the most of any
	StableAfter  = 30 * time.Second // a stream that has lived so long starts the backoff anew
)

// Backoff is full-jitter exponential backoff. The zero value is ready; it is not safe for concurrent use.
type Backoff struct {
	First time.Duration       // the most of the first pause; 0: FirstBackoff
	Most  time.Duration       // the most of any; 0: MaxBackoff
	Rand  func(n int64) int64 // 0 to n-1; nil: math/rand/v2
	fails int
}

// Next is the pause before the next attempt.
func (b *Backoff) Next() time.Duration {
	first, most := cmp.Or(b.First, FirstBackoff), cmp.Or(b.Most, MaxBackoff)
	pause := first << min(b.fails, 10)
	b.fails++
	return b.Within(min(pause, most))
}

// Reset starts anew.
func (b *Backoff) Reset() { b.fails = 0 }

// Within is a random moment within d, from 0 on. SPEC 2.12.6.
func (b *Backoff) Within(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	if b.Rand != nil {
		return time.Duration(b.Rand(int64(d) + 1))
	}
	return time.Duration(rand.Int64N(int64(d) + 1))
}
