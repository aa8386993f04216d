package publisher

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"ramen/loadtest/expect"
	"ramen/loadtest/stats"
	"ramen/protocol"
)

// Config is where and what to publish.
type Config struct {
	Bare    string      // host:port of a floor's publish port (package baseline); it goes first
	GRPC    string      // host:port of the backends' gRPC port; it goes before URL. Several, with commas: a stream each in turn
	URL     string      // of the backends' HTTP port; several likewise
	TLS     *tls.Config // nil: the system's roots for https, cleartext for gRPC
	Key     string      // API key; empty: none is sent
	Book    *expect.Book
	Users   [2]uint32 // from, to
	Streams int       // publishing side by side; 0: 1
	Batch   int       // most messages of a request; 0: 500
	Every   time.Duration
	Payload int           // bytes, 16, or 32 and more; 0: 256
	Lanes   [3]int        // weights of high, medium, low; none: medium
	TTL     time.Duration // 0: the server's
	Retry   time.Duration // how long what has no answer is tried again; 0: 10 s, below 0: not at all

	filling string // of payloads
}

// defaultEvery is how often what is due is sent, together.
const defaultEvery = time.Millisecond

// defaultRetry is how long a publish without an answer is tried again: a server that was killed is back within it.
const defaultRetry = 10 * time.Second

// Limits of SPEC 7.
const (
	maxBatch   = 1000
	minPayload = 32
	timeAlone  = 16 // bytes of a payload that is the time and nothing else
	maxRequest = 3 << 20
)

func (c *Config) complete() error {
	set := func(v *int, otherwise int) {
		if *v == 0 {
			*v = otherwise
		}
	}
	set(&c.Streams, 1)
	set(&c.Payload, 256)
	set(&c.Batch, 500)
	if c.Every == 0 {
		c.Every = defaultEvery
	}
	if c.Retry == 0 {
		c.Retry = defaultRetry
	}
	if c.Lanes == [3]int{} {
		c.Lanes[1] = 1
	}
	switch {
	case c.Bare == "" && c.GRPC == "" && c.URL == "":
		return errors.New("publisher: check configuration: neither the backends' gRPC port nor their HTTP port is given")
	case c.Payload != timeAlone && c.Payload < minPayload || c.Payload > 1<<20:
		return fmt.Errorf("publisher: check configuration: payload is %d bytes: use %d, or %d to 1 MiB", c.Payload, timeAlone, minPayload)
	case c.Batch < 1 || c.Batch > maxBatch:
		return fmt.Errorf("publisher: check configuration: batch is %d: use 1 to %d", c.Batch, maxBatch)
	case c.Users[1] <= c.Users[0]:
		return fmt.Errorf("publisher: check configuration: users %d to %d: none", c.Users[0], c.Users[1])
	}
	c.filling = filling(c.Payload)
	c.Batch = min(c.Batch, max(1, maxRequest/(c.Payload+128)))
	c.Streams = min(c.Streams, int(c.Users[1]-c.Users[0]))
	return nil
}

// Feed publishes to the users of one process. One order at a time.
type Feed struct {
	cfg   Config
	ports []port
	sent  []expect.Lanes // by user, from the first; each is its stream's
	turns []uint32       // of each stream: the next of its users
	lanes []uint8        // the lanes by weight

	accepted atomic.Int64 // since the order began
}

// port is one stream of publishes.
type port interface {
	// send hands over a batch, and calls answered once its answers are there, in order, from whatever goroutine, one call
	// at a time. It waits while too much is under way.
	send(ctx context.Context, b *batch, answered func(*batch, []result)) error
	// flush waits for the answers of everything sent.
	flush(ctx context.Context) error
	close()
}

// result is what became of one message; code is empty where it was accepted, "unknown" without an answer.
type result struct{ code string }

const unknown = "unknown"

// New makes a feed. It connects when it is first used.
func New(cfg Config) (*Feed, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	f := &Feed{cfg: cfg, sent: make([]expect.Lanes, cfg.Users[1]-cfg.Users[0]), turns: make([]uint32, cfg.Streams)}
	for i := range f.turns {
		f.turns[i] = uint32(i)
	}
	for lane, weight := range cfg.Lanes {
		for range weight {
			f.lanes = append(f.lanes, uint8(lane))
		}
	}
	for i := range f.cfg.Streams {
		p, err := newPort(&f.cfg, i)
		if err != nil {
			f.Close()
			return nil, err
		}
		f.ports = append(f.ports, p)
	}
	return f, nil
}

func newPort(cfg *Config, i int) (port, error) {
	switch {
	case cfg.Bare != "":
		return newBare(cfg), nil
	case cfg.GRPC != "":
		return newStream(cfg, turn(cfg.GRPC, i))
	}
	return newPoster(cfg, turn(cfg.URL, i))
}

// turn is the i-th of several places, with commas between.
func turn(places string, i int) string {
	all := strings.Split(places, ",")
	return strings.TrimSpace(all[i%len(all)])
}

// Sent is what was sent to a user. To be called while no order is under way.
func (f *Feed) Sent(user uint32) *expect.Lanes { return &f.sent[user-f.cfg.Users[0]] }

// Run publishes rate messages a second for a time, to the users in turn. The error is ctx's, or that nothing can be sent.
func (f *Feed) Run(ctx context.Context, rate float64, lasts time.Duration) (*Stats, error) {
	n := int64(math.Ceil(rate * lasts.Seconds()))
	return f.publish(ctx, n, rate)
}

// Each publishes count messages to every user, as fast as the server takes them.
func (f *Feed) Each(ctx context.Context, count int) (*Stats, error) {
	return f.publish(ctx, int64(count)*int64(len(f.sent)), 0)
}

func (f *Feed) publish(ctx context.Context, n int64, rate float64) (*Stats, error) {
	f.accepted.Store(0)
	shares := int64(len(f.ports))
	parts := make([]*Stats, shares)
	start := stats.Now()
	g, ctx := errgroup.WithContext(ctx)
	for i := range shares {
		s := &sender{feed: f, port: f.ports[i], index: i, start: start, n: (n + shares - 1 - i) / shares, step: float64(shares) * 1e6 / rate}
		if rate == 0 {
			s.step = 0
		}
		parts[i] = &s.stats
		g.Go(func() error { return s.run(ctx) })
	}
	err := g.Wait()
	all := new(Stats)
	for _, s := range parts {
		all.Merge(s)
	}
	return all, err
}

// Accepted is how many messages of the order under way, or the last one, were accepted.
func (f *Feed) Accepted() int64 { return f.accepted.Load() }

// Close lets go of the connections.
func (f *Feed) Close() {
	for _, p := range f.ports {
		p.close()
	}
}

// next is the message that a stream sends next: its users in turn, their lanes by weight.
func (f *Feed) next(stream int64) expect.Name {
	i := f.turns[stream]
	if f.turns[stream] += uint32(len(f.ports)); f.turns[stream] >= uint32(len(f.sent)) {
		f.turns[stream] = uint32(stream)
	}
	lanes := &f.sent[i]
	total := lanes[0] + lanes[1] + lanes[2]
	lane := f.lanes[int(total)%len(f.lanes)]
	lanes[lane]++
	return expect.Name{User: f.cfg.Users[0] + i, Lane: lane, N: lanes[lane]}
}

// outcome notes what became of a batch, and answers what of it is to be tried again; nil: nothing.
func (f *Feed) outcome(s *Stats, b *batch, results []result) *batch {
	at := stats.Now()
	tries := at-b.first < f.cfg.Retry.Microseconds()
	var again *batch
	for i := range b.names {
		switch code := results[i].code; code {
		case "":
			s.Accepted++
			f.accepted.Add(1)
			s.Answer.Record(at - b.due[i])
		case unknown, string(protocol.CodeUnavailable):
			// SPEC 9: unavailable means unknown, and the publisher tries again with the same id.
			if code != unknown {
				s.refuse(code, 1)
			}
			if tries {
				f.cfg.Book.Except(b.names[i], expect.Retried)
				again = b.again(again, i)
				s.Retried++
				continue
			}
			f.cfg.Book.Except(b.names[i], expect.Unknown)
			s.Unknown++
		default:
			f.cfg.Book.Except(b.names[i], expect.Refused)
			s.refuse(code, 1)
		}
	}
	return again
}
