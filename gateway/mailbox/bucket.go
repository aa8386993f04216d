package mailbox

import "time"

// bucket is a token bucket in eight bytes: the µs at which it will be full again (GCRA).
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

// TakePublish counts a publish against the user's rate, or says how long until one is allowed.
func (b *Mailbox) TakePublish(nowUS int64) (wait time.Duration, ok bool) {
	l := &b.scope.Limits
	return b.publishes.take(nowUS, l.PublishesPerSecond, l.PublishesBurst)
}

// TakeOpen is TakePublish for streams and polls.
func (b *Mailbox) TakeOpen(nowUS int64) (wait time.Duration, ok bool) {
	l := &b.scope.Limits
	return b.opens.take(nowUS, l.OpensPerSecond, l.OpensBurst)
}
