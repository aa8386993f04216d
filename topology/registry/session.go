package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// The times of a session, which fit together: two renewals in a row may fail before the registration ends.
const (
	RenewEvery  = 800 * time.Millisecond
	LeaseLength = 3 * time.Second
	// ActFor is for how long a member may act upon its registration after it has sent a renewal that was answered.
	ActFor = 2400 * time.Millisecond
)

const (
	renewTimeout = 750 * time.Millisecond
	againPause   = 150 * time.Millisecond // behind a renewal that failed
)

// SessionConfig is what a session is of.
type SessionConfig struct {
	Backend Backend
	Key     string        // of the registration
	Value   func() []byte // the registration as it is now
	Log     *slog.Logger
	// Renewed says that the registration stands, and for LeaseLength from sent on. Ended says that it has ended; it is made anew only when
	// Ended has returned. Both are called by one goroutine; nil: nobody wants to know.
	Renewed func(sent time.Time)
	Ended   func()
}

// Session keeps a registration under a lease, and makes it anew where that has ended.
type Session struct {
	cfg    SessionConfig
	stop   context.CancelFunc
	done   chan struct{}
	update chan struct{} // of capacity 1: the registration has changed

	written []byte // owned by run: the registration as it was written last

	mu      sync.Mutex
	lease   Lease         // guarded by mu; NoLease: there is none
	changed chan struct{} // guarded by mu: closed when lease changes
	sent    time.Time     // guarded by mu: of the last renewal that was answered
}

// NewSession registers, as soon as the registry answers, until Close.
func NewSession(cfg SessionConfig) *Session {
	ctx, stop := context.WithCancel(context.Background())
	s := &Session{cfg: cfg, stop: stop, done: make(chan struct{}), update: make(chan struct{}, 1), changed: make(chan struct{})}
	go s.run(ctx)
	return s
}

// Close ends the registration.
func (s *Session) Close(ctx context.Context) error {
	s.stop()
	<-s.done
	l, _ := s.Lease()
	if l == NoLease {
		return nil
	}
	s.set(NoLease)
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	if err := s.cfg.Backend.Revoke(ctx, l); err != nil {
		return fmt.Errorf("registry: end the registration %s: %w", s.cfg.Key, err)
	}
	return nil
}

// Lease is that of the registration, NoLease where it does not stand, and a channel that is closed when that changes.
func (s *Session) Lease() (Lease, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lease, s.changed
}

// Sent is when the last renewal was sent that was answered; zero: the registration does not stand.
func (s *Session) Sent() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

// Update writes the registration again at once, since it has changed; it is looked at with each renewal too.
func (s *Session) Update() {
	select {
	case s.update <- struct{}{}:
	default:
	}
}

// Put puts a key that goes with the registration. It is an error where that does not stand.
func (s *Session) Put(ctx context.Context, key string, value []byte) error {
	l, _ := s.Lease()
	if l == NoLease {
		return ErrLeaseEnded
	}
	_, _, err := s.cfg.Backend.Commit(ctx, nil, []Put{{Key: key, Value: value, Lease: l}})
	return err
}

func (s *Session) set(l Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease != l {
		s.lease = l
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

func (s *Session) run(ctx context.Context) {
	defer close(s.done)
	for {
		pause := RenewEvery
		if err := s.round(ctx); err != nil && ctx.Err() == nil {
			pause = againPause
		}
		next := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-s.update:
			s.write(ctx)
			select {
			case <-ctx.Done():
			case <-next.C:
			}
		case <-next.C:
		}
		next.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// round renews the lease, or registers anew.
func (s *Session) round(ctx context.Context) error {
	l, _ := s.Lease()
	if l == NoLease {
		return s.register(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	sent := time.Now()
	err := s.cfg.Backend.Renew(ctx, l)
	switch {
	case err == nil:
		s.renewed(sent)
		if !bytes.Equal(s.written, s.cfg.Value()) {
			s.write(ctx)
		}
	case errors.Is(err, ErrLeaseEnded):
		s.ended(err)
	default:
		s.cfg.Log.Debug("registration was not renewed", "key", s.cfg.Key, "error", err)
	}
	return err
}

func (s *Session) register(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	sent := time.Now()
	l, err := s.cfg.Backend.Grant(ctx, LeaseLength)
	value := s.cfg.Value()
	if err == nil {
		_, _, err = s.cfg.Backend.Commit(ctx, nil, []Put{{Key: s.cfg.Key, Value: value, Lease: l}})
	}
	if err != nil {
		s.cfg.Log.Debug("registration was not made", "key", s.cfg.Key, "error", err)
		return err
	}
	s.written = value
	s.cfg.Log.Info("registered with the cluster", "key", s.cfg.Key)
	s.renewed(sent) // before anybody can put under it
	s.set(l)
	return nil
}

func (s *Session) renewed(sent time.Time) {
	s.mu.Lock()
	s.sent = sent
	s.mu.Unlock()
	if s.cfg.Renewed != nil {
		s.cfg.Renewed(sent)
	}
}

func (s *Session) ended(err error) {
	s.cfg.Log.Warn("the registration with the cluster has ended; registering anew", "key", s.cfg.Key, "error", err)
	s.mu.Lock()
	s.sent = time.Time{}
	s.mu.Unlock()
	s.set(NoLease)
	if s.cfg.Ended != nil {
		s.cfg.Ended()
	}
}

// write writes the registration as it is now.
func (s *Session) write(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	value := s.cfg.Value()
	if err := s.Put(ctx, s.cfg.Key, value); err != nil { // again in the next round
		s.cfg.Log.Debug("registration was not written again", "key", s.cfg.Key, "error", err)
		return
	}
	s.written = value
}
