package frontend

import (
	"context"
	"errors"
	"fmt"
)

// Drain refuses new streams, asks the open ones to leave, and returns when all have: at the latest a little after the drain
// time. Where ctx is over before, it says how many are left; Close ends these. SPEC 2.12.
func (s *Server) Drain(ctx context.Context) error {
	s.Admission.Drain()
	s.log.Info("frontend: draining", "streams", s.Admission.Len(), "drain_time", s.cfg.DrainTime)
	if !s.Streams.Drain(ctx, s.Admission.Empty()) {
		return fmt.Errorf("frontend: drain: %d streams are left: %w", s.Admission.Len(), context.Cause(ctx))
	}
	return nil
}

// Check recounts: the streams that have a timer against those that are admitted, and what the parts count.
func (s *Server) Check() error {
	if err := s.Streams.Check(); err != nil {
		return err
	}
	// A stream is admitted before it has a timer, and leaves after. What is admitted between the two looks is forgiven.
	before := s.Admission.Total()
	admitted := s.Admission.Len()
	started := s.Streams.Len()
	if more := int(s.Admission.Total() - before); started > admitted+more {
		return fmt.Errorf("frontend: check: %d streams have a timer, but %d are admitted", started, admitted)
	}
	return errors.Join(s.sockets.Check(), s.loop.Check())
}
