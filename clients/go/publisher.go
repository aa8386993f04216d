package ramen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"ramen/protocol"
)

// PublisherConfig is how a Publisher reaches the server.
type PublisherConfig struct {
	// URL is where the backends' HTTP port is: http://ramen.internal:9080.
	URL string `yaml:"url"`
	// GRPC is host:port of the backends' gRPC port, https://host:port for TLS (see wire.ParseGRPCTarget). Where it is set, everything goes over it, and URL is not needed.
	GRPC string `yaml:"grpc"`
	// TLS for https and gRPC; nil: the system's roots for https, cleartext for gRPC.
	TLS *tls.Config `yaml:"-"`
	// Key is the API key. Empty: none is sent (development).
	Key string `yaml:"key"`
	// MaxBatch is the most messages of one request, users counted one by one. Default 256; at most 1,000.
	MaxBatch int `yaml:"max_batch"`
	// Linger is how long a request waits for more messages. Default 0: what comes while InFlight requests are out goes
	// together anyway, so that a busy publisher makes large batches and an idle one no pauses.
	Linger time.Duration `yaml:"linger"`
	// InFlight is the most requests out at once. Default 4.
	InFlight int `yaml:"in_flight"`
	// Timeout is how long to wait for an answer until it counts as none. Default 10 s: twice the server's own deadline.
	Timeout time.Duration `yaml:"timeout"`
	// OnRetry is told, by the goroutine that publishes, why messages are to be tried again. It must not block. May be nil.
	OnRetry func(cause error) `yaml:"-"`
}

const (
	defaultBatch    = 256
	defaultInFlight = 4
	defaultTimeout  = 10 * time.Second
	maxRequest      = 3 << 20 // bytes of messages in one request; the server takes 4 MiB. SPEC 7.3.3
	firstRetry      = 100 * time.Millisecond
	mostRetry       = 5 * time.Second
	messageOverhead = 64 // bytes of a message's wire form beside its texts, roughly
)

func (c *PublisherConfig) complete() {
	if c.MaxBatch == 0 {
		c.MaxBatch = defaultBatch
	}
	if c.InFlight == 0 {
		c.InFlight = defaultInFlight
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
}

// Validate says what is wrong with c, defaults applied.
func (c PublisherConfig) Validate() error {
	c.complete()
	switch {
	case c.URL == "" && c.GRPC == "":
		return errors.New("ramen: publisher config: url and grpc are both empty; set one of them")
	case c.MaxBatch < 1 || c.MaxBatch > most.MaxBatch:
		return fmt.Errorf("ramen: publisher config: max_batch is %d; use 1 to %d", c.MaxBatch, most.MaxBatch)
	case c.InFlight < 1:
		return fmt.Errorf("ramen: publisher config: in_flight is %d; use 1 or more", c.InFlight)
	case c.Linger < 0 || c.Timeout < 0:
		return errors.New("ramen: publisher config: linger and timeout must be 0 or more")
	}
	return nil
}

// ErrClosed is a call of a publisher that was closed.
var ErrClosed = errors.New("ramen: publisher is closed")

// Publisher publishes messages. It is safe for concurrent use, and best shared: calls at the same time share requests.
type Publisher struct {
	cfg     PublisherConfig
	backend backend
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	work    sync.WaitGroup // the dispatcher and its requests
	slots   chan struct{}  // a token a request that is out
	ready   chan struct{}  // one token: there are units
	full    chan struct{}  // one token: do not linger

	mu     sync.Mutex
	closed bool          // guarded by mu
	queue  []*unit       // guarded by mu; each of a caller that waits for it, so as many as there are callers
	queued int           // guarded by mu: messages in it
	calls  int           // guarded by mu: under way
	idle   chan struct{} // guarded by mu: closed once calls is 0; nil: nobody waits for it
}

// backend is the server, over one of its two ports.
type backend interface {
	// encode makes u ready to go.
	encode(u *unit)
	// exchange sends units as one request: all their results, in order. An *Error is the server's refusal of the request;
	// any other error is no answer: what became of the messages is unknown.
	exchange(ctx context.Context, units []*unit) ([]protocol.PublishResult, error)
	recall(ctx context.Context, user, id string) (bool, error)
	disconnect(ctx context.Context, user, device, detail string) (int, error)
	devices(ctx context.Context, user string) ([]KnownDevice, error)
	messages(ctx context.Context, user string) ([]Message, error)
	close() error
}

// NewPublisher makes a publisher. It connects when it is first used.
func NewPublisher(cfg PublisherConfig) (*Publisher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.complete()
	b, err := newBackend(&cfg)
	if err != nil {
		return nil, err
	}
	p := &Publisher{
		cfg:     cfg,
		backend: b,
		slots:   make(chan struct{}, cfg.InFlight),
		ready:   make(chan struct{}, 1),
		full:    make(chan struct{}, 1),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.work.Go(p.dispatch)
	return p, nil
}

func newBackend(cfg *PublisherConfig) (backend, error) {
	if cfg.GRPC != "" {
		return newGRPCBackend(cfg)
	}
	return newHTTPBackend(cfg)
}

// Publish publishes one message and waits until the server has said accepted or duplicate. What the server cannot take
// now (unavailable, resource_exhausted, no answer) is tried again under the same id until ctx ends: then the message may
// or may not be stored, and the caller may try on with the result's ID. Any other refusal is the error, an *Error.
func (p *Publisher) Publish(ctx context.Context, m Publication) (Result, error) {
	if len(m.Users) > 0 {
		return Result{}, ErrManyUsers
	}
	results, err := p.PublishAll(ctx, []Publication{m})
	if len(results) == 0 {
		return Result{}, err
	}
	if err == nil {
		err = results[0].Err
	}
	return results[0], err
}

// PublishAll publishes messages, in their order, and answers one result for each message and user, in order. A message
// that is rejected has the reason in its result; the error is ctx's, ErrClosed, or the refusal of everything (a bad
// key). Messages that had to be tried again may come after those behind them.
func (p *Publisher) PublishAll(ctx context.Context, ms []Publication) ([]Result, error) {
	if err := p.begin(); err != nil {
		return nil, err
	}
	defer p.end()
	c := newCall(ms)
	return c.results, c.run(ctx, p)
}

func (p *Publisher) begin() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	p.calls++
	return nil
}

func (p *Publisher) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls--
	if p.calls == 0 && p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
}

// Flush sends what lingers and waits until no call is under way.
func (p *Publisher) Flush(ctx context.Context) error {
	select {
	case p.full <- struct{}{}:
	default:
	}
	p.mu.Lock()
	if p.calls == 0 {
		p.mu.Unlock()
		return nil
	}
	if p.idle == nil {
		p.idle = make(chan struct{})
	}
	idle := p.idle
	p.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the calls under way with ErrClosed and lets go of the connections. Call Flush before it.
func (p *Publisher) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.work.Wait()
	return p.backend.close()
}
