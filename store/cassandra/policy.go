package cassandra

import (
	"context"
	"slices"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// policy asks the replicas of a partition first, in an order that is drawn for each request, then the others of the datacentre; of both
// those last that do not answer (breaker.go), and none twice for one call.
type policy struct {
	gocql.HostSelectionPolicy
	breakers *breakers
}

func newPolicy(dc string, b *breakers) *policy {
	return &policy{gocql.TokenAwareHostPolicy(gocql.DCAwareRoundRobinPolicy(dc), gocql.ShuffleReplicas()), b}
}

// call is one call of ours, which may be more than one request.
type call struct {
	mu    sync.Mutex
	tried []*gocql.HostInfo // guarded by mu
	room  [3]*gocql.HostInfo
}

// attempt is the context of one request, and learns which host was asked. It has the hosts that the driver is to try, too.
type attempt struct {
	context.Context
	call  *call
	began time.Time
	host  *gocql.HostInfo // nil: none, since none has a connection, or all were asked; set before the request is sent

	breakers  *breakers
	next      gocql.NextHost       // in the order of the driver's policy
	closedOff []gocql.SelectedHost // of them, those that do not answer
}

// try reports whether the call has not asked h before, and notes that it does.
func (c *call) try(h *gocql.HostInfo) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Contains(c.tried, h) {
		return false
	}
	if c.tried == nil {
		c.tried = c.room[:0]
	}
	c.tried = append(c.tried, h)
	return true
}

// forget has all hosts be asked again.
func (c *call) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried = c.tried[:0]
}

// Pick implements gocql.HostSelectionPolicy.
func (p *policy) Pick(statement gocql.ExecutableStatement) gocql.NextHost {
	next := p.HostSelectionPolicy.Pick(statement)
	s, ok := statement.(interface{ Context() context.Context })
	if !ok {
		return next
	}
	a, ok := s.Context().(*attempt)
	if !ok {
		return next
	}
	if h := a.host; h != nil { // the next page comes from where the one before did
		return func() gocql.SelectedHost {
			if h == nil {
				return nil
			}
			same := sameHost{h}
			h = nil
			return same
		}
	}
	a.breakers, a.next, a.closedOff = p.breakers, next, a.closedOff[:0]
	return a.nextHost
}

// nextHost is the next that the driver is to try: the one before has no connection.
func (a *attempt) nextHost() gocql.SelectedHost {
	a.host = nil
	for h := a.next(); h != nil; h = a.next() {
		if !a.breakers.host(h.Info().HostID()).allow(a.breakers.now()) {
			a.closedOff = append(a.closedOff, h)
			continue
		}
		if a.call.try(h.Info()) {
			a.host = h.Info()
			return h
		}
	}
	for len(a.closedOff) > 0 { // better late than not at all
		h := a.closedOff[0]
		a.closedOff = a.closedOff[1:]
		if a.call.try(h.Info()) {
			a.host = h.Info()
			return h
		}
	}
	return nil
}

// sameHost is a host that was selected before.
type sameHost struct{ host *gocql.HostInfo }

func (h sameHost) Info() *gocql.HostInfo { return h.host }
func (h sameHost) Mark(error)            {}

// policyKnows reports whether h is of the datacentre that is asked.
func (s *Store) policyKnows(h *gocql.HostInfo) bool { return h.DataCenter() == s.cfg.dc }
