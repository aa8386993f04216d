package feed

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"ramen/loadtest/check"
	"ramen/loadtest/gauge"
)

// batch is messages that go together.
type batch struct {
	names []check.Name
	due   []int64 // µs
}

// sender is one stream's part of an order.
type sender struct {
	feed  *Feed
	port  port
	index int64
	start int64   // µs
	n     int64   // messages
	step  float64 // µs from one to the next; 0: at once
	last  int64   // µs: when the last batch was made

	mu    sync.Mutex
	stats Stats // guarded by mu
}

// graceBehind is how long what was due in time may still be sent after the end.
const graceBehind = time.Second

func (s *sender) run(ctx context.Context) error {
	defer func() { s.stats.Due = s.n }()
	end := s.start + int64(s.step*float64(s.n)) + graceBehind.Microseconds()
	for i := int64(0); i < s.n; {
		due := s.due(i)
		if s.step > 0 { // those of one stretch go together
			due = max(due, s.last+s.feed.cfg.Every.Microseconds())
		}
		if err := sleepUntil(ctx, due); err != nil {
			return err
		}
		at := gauge.Now()
		s.last = at
		if s.step > 0 && at > end {
			break
		}
		b := s.batch(&i, at)
		if err := s.port.send(ctx, b, s.answered); err != nil {
			return err
		}
		s.mu.Lock()
		s.stats.Sent += int64(len(b.names))
		s.mu.Unlock()
	}
	return s.port.flush(ctx)
}

// due is when message i is.
func (s *sender) due(i int64) int64 { return s.start + int64(float64(i)*s.step) }

// batch takes what is due now.
func (s *sender) batch(i *int64, at int64) *batch {
	b := &batch{}
	for *i < s.n && len(b.names) < s.feed.cfg.Batch {
		due := s.due(*i)
		if due > at {
			break
		}
		if s.step == 0 {
			due = at
		}
		b.names = append(b.names, s.feed.next(s.index))
		b.due = append(b.due, due)
		*i++
	}
	return b
}

func (s *sender) answered(b *batch, results []result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feed.outcome(&s.stats, b, results)
}

// sleepUntil waits for a moment (µs).
func sleepUntil(ctx context.Context, at int64) error {
	wait := time.Duration(at-gauge.Now()) * time.Microsecond
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

// filling is what comes behind the time in a payload of n bytes.
func filling(n int) string {
	return `,"p":"` + strings.Repeat("x", max(0, n-len(`{"t":1234567890123456,"p":""}`))) + `"}`
}

// appendPayload appends the payload of a message that is due then: compact JSON, the time first.
func appendPayload(b []byte, due int64, filling string) []byte {
	return append(strconv.AppendInt(append(b, `{"t":`...), due, 10), filling...)
}
