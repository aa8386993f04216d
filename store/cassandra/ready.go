package cassandra

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// readiness is how the last writes have ended: appends, records of devices, and what Renew writes each 0.8 s, so that a store of which
// nothing is asked any more finds out that it is well again.
type readiness struct {
	failures atomic.Int32 // in a row
	last     atomic.Pointer[error]
}

// unreadyAfter is how many writes fail in a row before the store says that it takes none: more than one slow partition may have at once.
const unreadyAfter = 8

func (r *readiness) succeeded() {
	if r.failures.Load() != 0 {
		r.failures.Store(0)
	}
}

func (r *readiness) failed(err error) {
	r.last.Store(&err)
	r.failures.Add(1)
}

func (r *readiness) now() error {
	if n := r.failures.Load(); n >= unreadyAfter {
		return fmt.Errorf("store/cassandra: the last %d writes have failed: %w", n, *r.last.Load())
	}
	return nil
}

// Ready implements store.Readier.
func (s *Store) Ready() error {
	if err := s.ready.now(); err != nil {
		return err
	}
	for _, h := range s.session.GetHosts() {
		if s.policyKnows(h) && h.IsUp() && !s.breakers.host(h.HostID()).open() {
			return nil
		}
	}
	return errors.New("store/cassandra: no host of datacentre " + s.cfg.dc + " answers")
}
