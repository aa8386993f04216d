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
	Bare     string               // host:port of the baseline server's publish port; wins over GRPC and URL
	GRPC     string               // host:port of the backends' gRPC port; wins over URL. Several, separated by commas, get the streams in turn
	URL      string               // of the backends' HTTP port; several likewise
	TLS      *tls.Config          // nil: the system's roots for https, cleartext for gRPC
	Key      string               // API key; empty: none is sent
	Expected *expect.Expectations // what devices must get
	Users    [2]uint32            // from, to
	Streams  int                  // publishing side by side; 0: 1
	Batch    int                  // most messages of a request; 0: 500
	Every    time.Duration
	Payload  int           // bytes, 16, or 32 and more; 0: 256
	Lanes    [3]int        // weights of high, medium, low; none: medium
	TTL      time.Duration // 0: the server's
	Retry    time.Duration // how long what has no answer is tried again; 0: 10 s, below 0: not at all

	filling string // of payloads
}

// defaultEvery is how often what is due is sent, together.
const defaultEvery = time.Millisecond

// defaultRetry is how long a publish without an answer is tried again: a server that was killed is back within it.
const defaultRetry = 10 * time.Second

// Limits of SPEC 8.3.1, 8.3.6.
const (
	maxBatch   = 1000
	minPayload = 32
	timeAlone  = 16 // bytes of a payload that is only the time
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
		return errors.New("publisher: check configuration: give the backends' gRPC port or their HTTP port")
	case c.Payload != timeAlone && c.Payload < minPayload || c.Payload > 1<<20:
		return fmt.Errorf("publisher: check configuration: payload is %d bytes: use %d, or %d to 1 MiB", c.Payload, timeAlone, minPayload)
	case c.Batch < 1 || c.Batch > maxBatch:
		return fmt.Errorf("publisher: check configuration: batch is %d: use 1 to %d", c.Batch, maxBatch)
	case c.Users[1] <= c.Users[0]:
		return fmt.Errorf("publisher: check configuration: there are no users from %d to %d: use one or more", c.Users[0], c.Users[1])
	}
	c.filling = filling(c.Payload)
	c.Batch = min(c.Batch, max(1, maxRequest/(c.Payload+128)))
	c.Streams = min(c.Streams, int(c.Users[1]-c.Users[0]))
	return nil
}

// Publisher publishes to the users of one process, one order at a time.
type Publisher struct {
	cfg        Config
	transports []transport
	sent       []expect.Lanes // by user, from the first; each is its stream's
	turns      []uint32       // of each stream: the next of its users
	lanes      []uint8        // the lanes by weight

	accepted atomic.Int64 // since the order began
}

// transport is one stream of publishes: over gRPC, over HTTP, or to the baseline server.
type transport interface {
	// send sends a batch, and calls answered when its answers are there: in order, from any goroutine, one call at a time.
	// It waits while too much is in flight.
	send(ctx context.Context, b *batch, answered func(*batch, []result)) error
	// flush waits for the answers of everything sent.
	flush(ctx context.Context) error
	close()
}

// result is the outcome of one message: code is empty when it was accepted, and "unknown" when no answer came.
type result struct{ code string }

const unknown = "unknown"

// New makes a publisher. It connects when it is first used.
func New(cfg Config) (*Publisher, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	p := &Publisher{cfg: cfg, sent: make([]expect.Lanes, cfg.Users[1]-cfg.Users[0]), turns: make([]uint32, cfg.Streams)}
	for i := range p.turns {
		p.turns[i] = uint32(i)
	}
	for lane, weight := range cfg.Lanes {
		for range weight {
			p.lanes = append(p.lanes, uint8(lane))
		}
	}
	for i := range p.cfg.Streams {
		t, err := newTransport(&p.cfg, i)
		if err != nil {
			p.Close()
			return nil, err
		}
		p.transports = append(p.transports, t)
	}
	return p, nil
}

func newTransport(cfg *Config, i int) (transport, error) {
	switch {
	case cfg.Bare != "":
		return newBare(cfg), nil
	case cfg.GRPC != "":
		return newStream(cfg, turn(cfg.GRPC, i))
	}
	return newPoster(cfg, turn(cfg.URL, i))
}

// turn is the i-th of several addresses that are separated by commas, which are taken in turn.
func turn(addresses string, i int) string {
	all := strings.Split(addresses, ",")
	return strings.TrimSpace(all[i%len(all)])
}

// Sent is what was sent to a user. Call it while no order is running.
func (p *Publisher) Sent(user uint32) *expect.Lanes { return &p.sent[user-p.cfg.Users[0]] }

// Run publishes rate messages a second for a time, to the users in turn. The error is ctx's, or says why nothing can be sent.
func (p *Publisher) Run(ctx context.Context, rate float64, lasts time.Duration) (*Stats, error) {
	n := int64(math.Ceil(rate * lasts.Seconds()))
	return p.publish(ctx, n, rate)
}

// Each publishes count messages to every user, as fast as the server takes them.
func (p *Publisher) Each(ctx context.Context, count int) (*Stats, error) {
	return p.publish(ctx, int64(count)*int64(len(p.sent)), 0)
}

func (p *Publisher) publish(ctx context.Context, n int64, rate float64) (*Stats, error) {
	p.accepted.Store(0)
	shares := int64(len(p.transports))
	parts := make([]*Stats, shares)
	start := stats.Now()
	g, ctx := errgroup.WithContext(ctx)
	for i := range shares {
		s := &sender{publisher: p, transport: p.transports[i], index: i, start: start, n: (n + shares - 1 - i) / shares, step: float64(shares) * 1e6 / rate}
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

// Accepted is how many messages of the current order, or the last one, were accepted.
func (p *Publisher) Accepted() int64 { return p.accepted.Load() }

// Close closes the connections.
func (p *Publisher) Close() {
	for _, t := range p.transports {
		t.close()
	}
}

// next is the next message of a stream: its users in turn, their lanes by weight.
func (p *Publisher) next(stream int64) expect.Name {
	i := p.turns[stream]
	if p.turns[stream] += uint32(len(p.transports)); p.turns[stream] >= uint32(len(p.sent)) {
		p.turns[stream] = uint32(stream)
	}
	lanes := &p.sent[i]
	total := lanes[0] + lanes[1] + lanes[2]
	lane := p.lanes[int(total)%len(p.lanes)]
	lanes[lane]++
	return expect.Name{User: p.cfg.Users[0] + i, Lane: lane, N: lanes[lane]}
}

// outcome records the results of a batch, and returns what to try again; nil: nothing.
func (p *Publisher) outcome(s *Stats, b *batch, results []result) *batch {
	at := stats.Now()
	tries := at-b.first < p.cfg.Retry.Microseconds()
	var again *batch
	for i := range b.names {
		switch code := results[i].code; code {
		case "":
			s.Accepted++
			p.accepted.Add(1)
			s.Answer.Record(at - b.due[i])
		case unknown, string(protocol.CodeUnavailable):
			// SPEC 9.1.4: unavailable means unknown, and the publisher tries again with the same id.
			if code != unknown {
				s.refuse(code, 1)
			}
			if tries {
				p.cfg.Expected.Except(b.names[i], expect.Retried)
				again = b.again(again, i)
				s.Retried++
				continue
			}
			p.cfg.Expected.Except(b.names[i], expect.Unknown)
			s.Unknown++
		default:
			p.cfg.Expected.Except(b.names[i], expect.Refused)
			s.refuse(code, 1)
		}
	}
	return again
}
