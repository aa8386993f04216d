package frontend

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Over how long streams are visited: to be asked to leave, so that devices do not turn round all at once, and to be ended.
const (
	drainSpan = time.Second // at most a fifth of the drain time
	closeSpan = 20 * time.Millisecond
)

// Drain refuses new streams, asks the open ones to leave, and returns when all have: at the latest a little after the drain
// time. Where ctx is over before, it says how many are left; Close ends these. SPEC 2.12.
func (s *Server) Drain(ctx context.Context) error {
	s.admission.Drain()
	s.draining.Store(true)
	s.log.Info("frontend: draining", "streams", s.admission.Len(), "drain_time", s.cfg.DrainTime)
	if !s.leave(ctx, min(drainSpan, s.cfg.DrainTime/5)) {
		return fmt.Errorf("frontend: drain: %d streams are left: %w", s.admission.Len(), context.Cause(ctx))
	}
	return nil
}

// leave has the wheel visit every stream within span, until none is left or ctx is over. It repeats itself for those that
// were opening, or in the wheel's hand.
func (s *Server) leave(ctx context.Context, span time.Duration) bool {
	s.wheel.sweep(span.Milliseconds())
	again := time.NewTicker(max(span, 50*time.Millisecond))
	defer again.Stop()
	for {
		select {
		case <-s.admission.Empty():
			return true
		case <-ctx.Done():
			return false
		case <-again.C:
			s.wheel.sweep(span.Milliseconds())
		}
	}
}

// Check recounts: the wheel's slots against its count, and that against the streams that are admitted and the gauge.
func (s *Server) Check() error {
	if err := s.wheel.check(); err != nil {
		return err
	}
	// A stream is admitted before it is on the wheel, and leaves after. What is admitted between the two looks is forgiven.
	before := s.admission.Total()
	admitted := s.admission.Len()
	onWheel := s.wheel.len()
	if more := int(s.admission.Total() - before); onWheel > admitted+more {
		return fmt.Errorf("frontend: check: %d streams are on the wheel, but %d are admitted", onWheel, admitted)
	}
	return errors.Join(s.unfinished.check(), s.loop.Check())
}
