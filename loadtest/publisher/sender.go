package publisher

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ramen/loadtest/expect"
	"ramen/loadtest/stats"
)

// batch is messages that are sent in one request.
type batch struct {
	names []expect.Name
	due   []int64 // µs
	first int64   // µs: when it was first sent
	tries int     // failed attempts
	next  int64   // µs: when to try again
}

// again adds the i-th message of b to those that are tried again.
func (b *batch) again(into *batch, i int) *batch {
	if into == nil {
		into = &batch{first: b.first, tries: b.tries + 1}
	}
	into.names, into.due = append(into.names, b.names[i]), append(into.due, b.due[i])
	return into
}

// sender is one stream's part of an order.
type sender struct {
	publisher *Publisher
	transport transport
	index     int64
	start     int64   // µs
	n         int64   // messages
	step      float64 // µs from one to the next; 0: at once
	tick      int64   // µs: when the last batch was due

	mu    sync.Mutex
	stats Stats    // guarded by mu
	again []*batch // guarded by mu: what to try again, in the order in which it failed
}

// graceBehind is how long after the end late messages may still be sent.
const graceBehind = time.Second

func (s *sender) run(ctx context.Context) error {
	defer func() { s.stats.Due = s.n }()
	every := s.publisher.cfg.Every.Microseconds()
	end := s.start + int64(s.step*float64(s.n)) + graceBehind.Microseconds()
	next := newAlarm(ctx)
	defer next.close()
	for i := int64(0); i < s.n; {
		due := s.due(i)
		if s.step > 0 { // those of one interval go together
			due = max(due, s.tick+every)
		}
		if err := next.wait(due); err != nil {
			return err
		}
		if err := s.resend(ctx); err != nil {
			return err
		}
		at := stats.Now()
		s.tick = max(due, at-every) // a late wake-up does not delay the next one
		if s.step > 0 && at > end {
			break
		}
		b := s.batch(&i, at)
		if err := s.transport.send(ctx, b, s.answered); err != nil {
			return err
		}
		s.sent(b)
	}
	return s.awaitAnswers(ctx)
}

// sent counts a batch, and how late it was sent, which is part of its messages' latency.
func (s *sender) sent(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Sent += int64(len(b.names))
	if s.step == 0 {
		return
	}
	for _, due := range b.due {
		s.stats.Late.Record(b.first - due)
	}
}

// awaitAnswers waits for all answers, and tries again what has none, until it has or its time is over.
func (s *sender) awaitAnswers(ctx context.Context) error {
	for {
		if err := s.transport.flush(ctx); err != nil {
			return err
		}
		s.mu.Lock()
		next, left := int64(math.MaxInt64), len(s.again)
		for _, b := range s.again {
			next = min(next, b.next)
		}
		s.mu.Unlock()
		if left == 0 {
			return nil
		}
		if err := sleepUntil(ctx, next); err != nil {
			return err
		}
		if err := s.resend(ctx); err != nil {
			return err
		}
	}
}

// resend tries again what has waited long enough.
func (s *sender) resend(ctx context.Context) error {
	s.mu.Lock()
	now := stats.Now()
	var ready []*batch
	s.again = slices.DeleteFunc(s.again, func(b *batch) bool {
		if b.next <= now {
			ready = append(ready, b)
		}
		return b.next <= now
	})
	s.mu.Unlock()
	for _, b := range ready {
		if err := s.transport.send(ctx, b, s.answered); err != nil {
			return err
		}
	}
	return nil
}

// due is the time at which message i is due.
func (s *sender) due(i int64) int64 { return s.start + int64(float64(i)*s.step) }

// batch collects the messages that are due now.
func (s *sender) batch(i *int64, at int64) *batch {
	b := &batch{first: at}
	for *i < s.n && len(b.names) < s.publisher.cfg.Batch {
		due := s.due(*i)
		if due > at {
			break
		}
		if s.step == 0 {
			due = at
		}
		b.names = append(b.names, s.publisher.next(s.index))
		b.due = append(b.due, due)
		*i++
	}
	return b
}

func (s *sender) answered(b *batch, results []result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if again := s.publisher.outcome(&s.stats, b, results); again != nil {
		most := min(firstPause<<min(again.tries-1, 10), mostPause) // jittered, so that senders do not come back together
		again.next = stats.Now() + rand.Int64N(most.Microseconds())
		s.again = append(s.again, again)
	}
}

// Pauses before a publish is tried again: up to firstPause, doubling up to mostPause.
const (
	firstPause = 200 * time.Millisecond
	mostPause  = 2 * time.Second
)

// sleepUntil waits for a moment (µs).
func sleepUntil(ctx context.Context, at int64) error {
	wait := time.Duration(at-stats.Now()) * time.Microsecond
	if wait <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// filling is what follows the time in a payload of n bytes; empty: the payload is only the time.
func filling(n int) string {
	if n == timeAlone {
		return ""
	}
	size := max(0, n-len(`{"t":1234567890123456,"p":""}`))
	return `,"p":"` + prose(size) + `"}`
}

// prose is text of size bytes that compresses about as well as what apps send: words of a small vocabulary from a fixed seed,
// with numbers between them.
func prose(size int) string {
	draw := rand.New(rand.NewPCG(1, 2))
	words := make([]string, 400)
	for i := range words {
		word := make([]byte, 2+draw.IntN(8))
		for j := range word {
			word[j] = "aeioutnshrdlcm"[draw.IntN(14)]
		}
		words[i] = string(word)
	}
	var b strings.Builder
	for b.Len() < size {
		b.WriteString(words[min(draw.IntN(400), draw.IntN(400))]) // some are frequent
		b.WriteByte(' ')
		if draw.IntN(6) == 0 {
			b.WriteString(strconv.FormatUint(draw.Uint64()>>40, 10))
		}
	}
	return b.String()[:size]
}

// appendPayload appends the payload of a message that is due at due (µs): compact JSON, the time first.
func appendPayload(b []byte, due int64, filling string) []byte {
	if filling == "" {
		return strconv.AppendInt(b, due, 10)
	}
	return append(strconv.AppendInt(append(b, `{"t":`...), due, 10), filling...)
}
