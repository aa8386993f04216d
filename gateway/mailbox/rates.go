package mailbox

import "time"

// TakePublish counts a publish against the user's rate limit, or returns how long to wait until one is allowed.
func (b *Mailbox) TakePublish(nowUS int64) (wait time.Duration, ok bool) {
	l := &b.scope.Limits
	return b.publishes.Take(nowUS, l.PublishesPerSecond, l.PublishesBurst)
}

// TakeOpen counts the opening of a stream or a poll likewise.
func (b *Mailbox) TakeOpen(nowUS int64) (wait time.Duration, ok bool) {
	l := &b.scope.Limits
	return b.opens.Take(nowUS, l.OpensPerSecond, l.OpensBurst)
}
