package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"ramen/frontend/auth"
	"ramen/frontend/h2"
	"ramen/link"
	"ramen/protocol"
)

// Router asks the owners of users; route.Router is one.
type Router interface {
	// Publish answers each message with a result, in order; a rejected one's has its error.
	Publish(ctx context.Context, batch []link.Publish) []link.Result
	Devices(ctx context.Context, user protocol.UserID) ([]link.Device, error)
	Messages(ctx context.Context, user protocol.UserID) ([]*protocol.Message, error)
	Recall(ctx context.Context, user protocol.UserID, id protocol.MessageID) (bool, error)
	Disconnect(ctx context.Context, user protocol.UserID, device protocol.DeviceID, detail string) (int, error)
}

const (
	maxListed = 16 << 10 // bytes of a payload that ListMessages still shows, SPEC 7
	maxDetail = 256      // bytes of a disconnect's detail: it goes to devices, in frames of which some are short
)

// Server answers backends. It is safe for concurrent use.
type Server struct {
	Log *slog.Logger // nil: none; set before anything is served

	// immutable
	cfg      Config
	router   Router
	keys     *auth.Keys // nil: authentication is off
	metrics  *metrics
	limiter  *rate.Limiter // nil: no limit
	room     *room
	guard    *h2.Guard           // of the gRPC port
	lists    *semaphore.Weighted // bytes that clients are reading
	encoders chan struct{}       // a token a list that is being encoded
	listTime time.Duration
	draining chan struct{}

	calls atomic.Int64 // of gRPC that are served, PublishStreams left out

	scratch sync.Pool // of *[]protocol.Publish
	buffers sync.Pool // of *bytes.Buffer

	mu      sync.Mutex // guards drained, and that readers grows only before it
	drained bool
	readers sync.WaitGroup // of PublishStreams
}

// New makes a server that asks r. Without keys (nil) everybody may do everything: for development.
func New(cfg Config, r Router, keys *auth.Keys, reg prometheus.Registerer) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, router: r, keys: keys, metrics: newMetrics(),
		room: newRoom(&cfg), lists: semaphore.NewWeighted(cfg.ListBytes), encoders: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), listTime: listTime, draining: make(chan struct{})}
	if cfg.PublishesPerSecond > 0 {
		s.limiter = rate.NewLimiter(rate.Limit(cfg.PublishesPerSecond), cfg.PublishBurst)
	}
	s.room.longWaited = s.metrics.impatient.Inc
	s.metrics.all = append(s.metrics.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ramen_backend_under_way_bytes", Help: "Bytes of publishes that are not answered yet.",
	}, func() float64 { return float64(s.room.usedNow()) }))
	for _, c := range s.metrics.all {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("backend: register metrics: %w", err)
		}
	}
	var err error
	s.guard, err = s.newGuard(reg)
	return s, err
}

// Close ends what New has started. Its listeners are closed before.
func (s *Server) Close() { s.guard.Close() }

// Drain ends every PublishStream, once what it had read is answered, with UNAVAILABLE, and answers when all have ended
// or ctx has. Other requests are served as before: their listeners wait for them.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	if !s.drained {
		s.drained = true
		close(s.draining)
	}
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() { s.readers.Wait(); close(ended) }()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		select {
		case <-ended:
			return nil
		case <-again.C:
			s.room.endWaiting(impatience) // or the process would wait for clients that do not read
		case <-ctx.Done():
			return fmt.Errorf("backend: drain: publish streams are still open: %w", ctx.Err())
		}
	}
}

// read starts the reading goroutine of a PublishStream; false once the server drains.
func (s *Server) read(reader func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained {
		return false
	}
	s.readers.Go(reader)
	return true
}

// allow says whether the bearer of an Authorization value may do what needs scope. SPEC 8.
func (s *Server) allow(authorization string, scope auth.Scope) *protocol.Error {
	if s.keys == nil {
		return nil
	}
	return asError(s.keys.Check(authorization, scope))
}

func (s *Server) devices(ctx context.Context, user string) ([]link.Device, *protocol.Error) {
	if err := protocol.CheckUser(user); err != nil {
		return nil, asError(err)
	}
	devices, err := s.router.Devices(ctx, protocol.UserID(user))
	return devices, asError(err)
}

// messages lists a mailbox. Its payloads are to be shown as listed says.
func (s *Server) messages(ctx context.Context, user string) ([]*protocol.Message, *protocol.Error) {
	if err := protocol.CheckUser(user); err != nil {
		return nil, asError(err)
	}
	messages, err := s.router.Messages(ctx, protocol.UserID(user))
	return messages, asError(err)
}

// listed is m's payload as a list shows it: long ones are left out. SPEC 7.
func listed(m *protocol.Message) []byte {
	if len(m.Payload) > maxListed {
		return nil
	}
	return m.Payload
}

func (s *Server) recall(ctx context.Context, user, id string) (bool, *protocol.Error) {
	if err := protocol.CheckUser(user); err != nil {
		return false, asError(err)
	}
	if err := protocol.CheckMessageID(id); err != nil {
		return false, asError(err)
	}
	recalled, err := s.router.Recall(ctx, protocol.UserID(user), protocol.MessageID(id))
	return recalled, asError(err)
}

func (s *Server) disconnect(ctx context.Context, user, device, detail string) (int, *protocol.Error) {
	if err := protocol.CheckUser(user); err != nil {
		return 0, asError(err)
	}
	if device != "" {
		if err := protocol.CheckDevice(device); err != nil {
			return 0, asError(err)
		}
	}
	if err := checkDetail(detail); err != nil {
		return 0, err
	}
	n, err := s.router.Disconnect(ctx, protocol.UserID(user), protocol.DeviceID(device), detail)
	return n, asError(err)
}

func checkDetail(s string) *protocol.Error {
	if len(s) > maxDetail {
		return protocol.Invalidf("detail has %d bytes: at most %d are allowed", len(s), maxDetail)
	}
	for i, r := range s {
		if r != ' ' && !unicode.IsPrint(r) || r == utf8.RuneError {
			return protocol.Invalidf("detail has %U at byte %d: it must be printable UTF-8, on one line", r, i)
		}
	}
	return nil
}

// asError is err as a backend is told. What no part of this program should have let out is internal.
func asError(err error) *protocol.Error {
	switch e, ok := errors.AsType[*protocol.Error](err); {
	case err == nil:
		return nil
	case ok:
		return e
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return protocol.Errorf(protocol.CodeUnavailable, "the request ended before its answer: whether it took effect is unknown; try again")
	}
	return protocol.Errorf(protocol.CodeInternal, "%v", err)
}
