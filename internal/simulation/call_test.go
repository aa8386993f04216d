package simulation

import "context"

// call has do run where m goes to, and answers what it has answered, once that has come back. False: ctx has ended before, or the caller is
// dead; what was sent arrives all the same.
func call[T any](ctx context.Context, b *bus, m message, do func() T) (T, bool) {
	var none T
	if b.isDead(m.from) || ctx.Err() != nil {
		return none, false
	}
	answer := make(chan T, 1)
	b.send(m, func() {
		v := do()
		back := m
		back.from, back.to, back.what, back.after, back.quiet = m.to, m.from, m.what+".", nil, true
		b.send(back, func() { answer <- v })
	})
	select {
	case v := <-answer:
		return v, true
	case <-ctx.Done():
		return none, false
	}
}
