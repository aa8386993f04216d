package linkgrpc

import (
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/internal/tool/promset"
	"ramen/link"
)

// ClientConfig says who a frontend is.
type ClientConfig struct {
	Config
	Name     string // of this frontend: what gateways log, and what its certificate must say
	Cluster  string // links to gateways of another are refused; empty: not checked
	Security Security

	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics are shown

	versions versions // zero: this program's
}

// Client has the links of a frontend, one to each gateway.
type Client struct {
	// immutable
	cfg      ClientConfig
	instance string // of this process
	metrics  *metrics
	set      promset.Set
	ctx      context.Context
	cancel   context.CancelFunc

	numbers atomic.Uint64 // of links

	mu     sync.RWMutex
	links  map[target]*Link
	closed bool
}

// target is a gateway at an address.
type target struct{ name, address string }

// NewClient makes a client without links.
func NewClient(cfg ClientConfig) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.versions == (versions{}) {
		cfg.versions = current
	}
	c := &Client{cfg: cfg, instance: rand.Text(), links: make(map[target]*Link)}
	c.metrics = newMetrics(frontendSide, held{c.queued, func() float64 { return 0 }})
	c.set = c.metrics.collectors
	if err := c.set.Register(cfg.Registerer); err != nil {
		return nil, err
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// To is the link to the gateway of that name at address, host:port. The first call begins to connect, and none waits: calls of a link
// that does not stand answer link.ErrNotSent. After Close every link is such.
func (c *Client) To(name, address string) *Link {
	t := target{name, address}
	c.mu.RLock()
	l := c.links[t]
	c.mu.RUnlock()
	if l != nil {
		return l
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.links[t]; l != nil {
		return l
	}
	l = c.newLink(t)
	c.links[t] = l
	if c.closed {
		l.cancel()
		return l
	}
	l.wg.Go(l.run)
	return l
}

// Keep closes the links to gateways that keep refuses, and waits for them: their streams are lost.
func (c *Client) Keep(keep func(name, address string) bool) {
	var gone []*Link
	c.mu.Lock()
	for t, l := range c.links {
		if !keep(t.name, t.address) {
			delete(c.links, t)
			gone = append(gone, l)
		}
	}
	c.mu.Unlock()
	closeAll(gone)
}

func closeAll(links []*Link) {
	var all sync.WaitGroup
	for _, l := range links {
		all.Go(l.close)
	}
	all.Wait()
}

// Close closes all links, and waits for them.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	all := slices.Collect(maps.Values(c.links))
	c.mu.Unlock()
	closeAll(all)
	c.cancel()
	c.set.Unregister(c.cfg.Registerer)
	return nil
}

// queued is what waits to be sent on all links.
func (c *Client) queued() (bytes float64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, l := range c.links {
		if a := l.standing.Load(); a != nil {
			bytes += float64(a.out.waiting())
		}
	}
	return bytes
}

// Link is the link to one gateway, which stands or does not.
type Link struct {
	// immutable
	client *Client
	target target
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	closing  atomic.Bool
	standing atomic.Pointer[attachment] // nil while it does not
	changed  atomic.Pointer[chan struct{}]
}

var _ link.Gateway = (*Link)(nil)

func (c *Client) newLink(t target) *Link {
	l := &Link{client: c, target: t, log: c.cfg.Log.With("gateway", t.name, "address", t.address)}
	l.ctx, l.cancel = context.WithCancel(c.ctx)
	changed := make(chan struct{})
	l.changed.Store(&changed)
	return l
}

// flushFor is how long a link that is closed in order has to send what waits.
const flushFor = time.Second

// close ends the link in order, if its peer lets it.
func (l *Link) close() {
	l.closing.Store(true)
	if a := l.standing.Load(); a != nil {
		a.out.close()
		late := time.NewTimer(flushFor)
		defer late.Stop()
		select {
		case <-a.done:
		case <-late.C:
		}
	}
	l.cancel()
	l.wg.Wait()
}

// stand has calls go over a, or over nothing.
func (l *Link) stand(a *attachment) {
	l.standing.Store(a)
	changed := make(chan struct{})
	close(*l.changed.Swap(&changed))
}

// Wait waits until the link stands, or ctx is over.
func (l *Link) Wait(ctx context.Context) error {
	for {
		changed := *l.changed.Load()
		if l.standing.Load() != nil {
			return nil
		}
		select {
		case <-changed:
		case <-l.ctx.Done():
			return link.ErrNotSent
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
