package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/frontend/auth"
	"ramen/link"
	"ramen/protocol"
	"ramen/topology"
)

// Opener opens a stream at the owner of its user: route.Router. It takes no longer than within and than its own deadline.
type Opener interface {
	Open(ctx context.Context, within time.Duration, o link.Open, to link.Receiver) (link.Stream, link.Opened, error)
}

// Verifier says whose token it is: *auth.Tokens.
type Verifier interface {
	Verify(token string) (auth.Claims, error)
}

// Deps is what a Set works with.
type Deps struct {
	Opener  Opener
	Owners  topology.Topology // whose newer views move streams; nil: owners never change
	Tokens  Verifier          // nil: authentication is off
	Logger  *slog.Logger
	Metrics prometheus.Registerer // nil: none
	Pollers int                   // of the connections
	// Draw draws a number from 0 to n-1: pauses and ages differ by it. nil: by chance. A simulation draws by its seed.
	Draw func(n int64) int64
}

// Set is all streams of a frontend, and what they share.
type Set struct {
	// immutable
	cfg      Config
	opener   Opener
	tokens   Verifier
	log      *slog.Logger
	metrics  *metrics
	clients  *clients
	clock    clock
	draw     func(n int64) int64
	wheels   []*wheel // that of streams without a poller, then one for each poller
	reopener *reopener
	shards   *shards
	ctx      context.Context // over when the set is closed
	cancel   context.CancelFunc
	running  sync.WaitGroup // the wheels

	draining atomic.Bool // streams are asked to leave
	closing  atomic.Bool // streams are ended
}

// NewSet starts an empty Set.
func NewSet(cfg Config, d Deps) (*Set, error) {
	if d.Metrics == nil {
		d.Metrics = prometheus.NewRegistry()
	}
	m, err := newMetrics(d.Metrics)
	if err != nil {
		return nil, fmt.Errorf("frontend: register metrics of streams: %w", err)
	}
	s := &Set{cfg: cfg, opener: d.Opener, tokens: d.Tokens, log: d.Logger, metrics: m, clock: newClock(), draw: d.Draw}
	if s.draw == nil {
		s.draw = rand.Int64N
	}
	if s.clients, err = newClients(d.Metrics, s.clock); err != nil {
		return nil, fmt.Errorf("frontend: register metrics of clients: %w", err)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for range 1 + min(max(d.Pollers, 1), math.MaxUint8) {
		w := newWheel(s.clock, (*Stream).onTimer)
		w.draw = s.draw
		s.wheels = append(s.wheels, w)
	}
	s.reopener = &reopener{ctx: s.ctx, limit: cfg.Reopens}
	if d.Owners == nil {
		d.Owners = topology.NewStatic("owner", 0, 1)
	}
	s.shards = newShards(d.Owners, s.reopener)
	s.running.Go(func() { s.shards.run(s.ctx) })
	for _, w := range s.wheels {
		s.running.Go(func() { w.run(s.ctx) })
	}
	return s, nil
}

// opened counts a stream that is live.
func (s *Set) opened(x *Stream, resumed bool) {
	s.metrics.streams[x.transport].Inc()
	s.metrics.opens[x.transport].Inc()
	if resumed {
		s.metrics.resumed[x.transport].Inc()
	}
	if s.debug() {
		s.log.LogAttrs(s.ctx, slog.LevelDebug, "frontend: stream opened", slog.String("transport", x.transport.String()),
			slog.String("user", string(x.User())), slog.String("device", string(x.Device())), slog.Bool("resumed", resumed))
	}
}

// ended counts one that is closed.
func (s *Set) ended(x *Stream, reason protocol.Reason) {
	s.metrics.streams[x.transport].Dec()
	s.metrics.ends[x.transport][reason].Inc()
	s.clients.closed(x.client)
	x.permit.Close()
}

func (s *Set) debug() bool { return s.log.Enabled(s.ctx, slog.LevelDebug) }

// ageLimit is when a stream that is opened now is asked to leave: less a random tenth, so that those that came together do
// not leave together. SPEC 2.12.
func (s *Set) ageLimit(now int64) int64 {
	age := s.cfg.MaxAge.Milliseconds()
	if age == 0 {
		return 0
	}
	return now + age - s.draw(age/10+1)
}

// reconnectMS is within what time a stream that is asked to leave is replaced. A fifth of the drain time is left to connect.
func (s *Set) reconnectMS() uint32 { return uint32(max(s.cfg.DrainTime.Milliseconds()*4/5, 1)) }

// Over how long streams are called: to be asked to leave, so that devices do not turn round all at once, and to be ended.
const (
	drainSpan = time.Second // at most a fifth of the drain time
	closeSpan = 20 * time.Millisecond
)

// Draining reports whether streams are asked to leave.
func (s *Set) Draining() bool { return s.draining.Load() }

// Drain asks all streams to leave, until empty is closed or ctx is over: then it answers false. SPEC 2.12.
func (s *Set) Drain(ctx context.Context, empty <-chan struct{}) bool {
	s.draining.Store(true)
	return s.spread(ctx, min(drainSpan, s.cfg.DrainTime/5), empty)
}

// End ends all streams, until empty is closed or ctx is over: then it answers false.
func (s *Set) End(ctx context.Context, empty <-chan struct{}) bool {
	s.closing.Store(true)
	return s.spread(ctx, closeSpan, empty)
}

// spread has every stream called within span, again and again for those that were opening or being called, until empty is closed
// or ctx is over.
func (s *Set) spread(ctx context.Context, span time.Duration, empty <-chan struct{}) bool {
	call := func() {
		for _, w := range s.wheels {
			w.spread(span.Milliseconds())
		}
	}
	call()
	again := time.NewTicker(max(span, 50*time.Millisecond))
	defer again.Stop()
	for {
		select {
		case <-empty:
			return true
		case <-ctx.Done():
			return false
		case <-again.C:
			call()
		}
	}
}

// Close stops the timers and the re-opens. End comes before.
func (s *Set) Close() {
	s.cancel()
	s.running.Wait()
	s.reopener.close()
}

// Len is how many streams have a timer: those that were started and have not ended.
func (s *Set) Len() (n int) {
	for _, w := range s.wheels {
		n += w.len()
	}
	return n
}

// Counted is how many streams ramen_frontend_clients has: those that were started and have not ended.
func (s *Set) Counted() int { return s.clients.len() }

// Check recounts.
func (s *Set) Check() error {
	errs := []error{s.shards.check()}
	before := s.clients.ends()
	var timed [int(firstNamed) + maxClients]int
	for _, w := range s.wheels {
		errs = append(errs, w.check())
		w.each(func(x *Stream) { timed[x.client]++ })
	}
	errs = append(errs, s.clients.check(&before, &timed))
	return errors.Join(errs...)
}
