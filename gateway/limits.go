package gateway

import "time"

// bucket is a token bucket in eight bytes: the µs at which it will be full again (GCRA). Guarded by the mailbox's mu.
type bucket int64

// take takes one token at nowUS where rate a second with that burst allows, or says how long until it will.
func (b *bucket) take(nowUS int64, rate float64, burst int) (wait time.Duration, ok bool) {
	if rate <= 0 {
		return 0, true
	}
	step := int64(1e6 / rate)
	full := max(int64(*b), nowUS)
	if over := full + step - nowUS - step*int64(burst); over > 0 {
		return time.Duration(over) * time.Microsecond, false
	}
	*b = bucket(full + step)
	return 0, true
}
