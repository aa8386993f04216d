// Package ratelimit is a token bucket for what there are many of: users, addresses.
//
// golang.org/x/time/rate takes 80 bytes a limiter and a lock; it is what limits a whole process (frontend/backend). A Bucket takes
// eight bytes, in a struct that has its lock already.
package ratelimit

import "time"

// Bucket is a token bucket: the time at which it will be full again, in µs of the caller's clock (GCRA, ITU-T I.371). The zero
// Bucket is full. Its owner guards it.
type Bucket int64

// Take takes one token at nowUS where rate a second with that burst allows, or says how long until it will. A rate of 0 is no limit.
func (b *Bucket) Take(nowUS int64, rate float64, burst int) (wait time.Duration, ok bool) {
	if rate <= 0 {
		return 0, true
	}
	step := int64(1e6 / rate)
	full := max(int64(*b), nowUS)
	if over := full + step - nowUS - step*int64(burst); over > 0 {
		return time.Duration(over) * time.Microsecond, false
	}
	*b = Bucket(full + step)
	return 0, true
}

// Full reports whether all tokens are back, so that the bucket need not be kept.
func (b Bucket) Full(nowUS int64) bool { return int64(b) <= nowUS }
